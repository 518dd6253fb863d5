"""What `make doctor` finds out before a first `up`: one module for each thing that is asked, none changes anything."""
