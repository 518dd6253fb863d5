{{- define "argo-cd.name" -}}
{{- if contains "argocd" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-argocd" .Release.Name }}{{ end }}
{{- end }}

{{- define "argo-cd.image" -}}
{{ .Values.global.image.repository }}:{{ default .Chart.AppVersion .Values.global.image.tag }}
{{- end }}

{{- define "argo-cd.labels" -}}
app.kubernetes.io/part-of: argocd
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/instance: {{ .Release.Name }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "argo-cd.pod" -}}
metadata:
  labels:
    app.kubernetes.io/name: {{ .name }}
    app.kubernetes.io/instance: {{ .root.Release.Name }}
    app.kubernetes.io/part-of: argocd
spec:
  serviceAccountName: {{ .name }}
  automountServiceAccountToken: true
  securityContext:
    runAsNonRoot: true
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: {{ .component }}
      image: {{ .image }}
      {{- with .args }}
      args: {{ toJson . }}
      {{- end }}
      env:
        - name: REDIS_PASSWORD
          valueFrom: {secretKeyRef: {name: argocd-redis, key: auth}}
      securityContext:
        runAsNonRoot: true
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: {drop: [ALL]}
        seccompProfile: {type: RuntimeDefault}
      {{- with .resources }}
      resources: {{ toJson . }}
      {{- end }}
{{- end }}
