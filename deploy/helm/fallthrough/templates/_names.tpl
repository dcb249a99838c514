{{/* One name for everything of a release; `fallthrough` stands in it once. */}}
{{- define "fallthrough.name" -}}
{{- if contains "fallthrough" .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-fallthrough{{ end }}
{{- end }}

{{/* What pods are chosen by: never changes during a release's life. */}}
{{- define "fallthrough.selector" -}}
app.kubernetes.io/name: fallthrough
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fallthrough.labels" -}}
{{ include "fallthrough.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
