{{- define "platform.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "platform.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "platform.labels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "platform.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "platform.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- /* The secret's keys are settings too. What stands under `env` wins over them. */ -}}
{{- define "platform.environment" -}}
{{- range tuple "DB_HOST" "PUBLIC_BASE_URL" "ALLOWED_HOSTS" "TRUSTED_PROXIES" }}
{{- $_ := required (printf "settings.%s is required" .) (get $.Values.settings .) }}
{{- end }}
{{- $_ := required "settings.REDIS_HOST or settings.REDIS_URL is required" (get .Values.settings "REDIS_URL" | default (get .Values.settings "REDIS_HOST")) }}
envFrom:
  - secretRef: {name: {{ .Values.secretName }}}
env:
{{- range $name, $value := .Values.settings }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- if not (hasKey .Values.settings "DB_PORT") }}
  - {name: DB_PORT, value: "5432"}
{{- end }}
{{- if not (hasKey .Values.settings "REDIS_PORT") }}
  - {name: REDIS_PORT, value: "6379"}
{{- end }}
{{- if not (hasKey .Values.settings "SIMULATOR_WEBHOOK_URL") }}
  - {name: SIMULATOR_WEBHOOK_URL, value: "http://{{ .Release.Name }}-gateway/api/v1/webhooks/simulator"}
{{- end }}
{{- end }}

{{- /* Pods of one kind on different nodes and zones, as far as there are any. */ -}}
{{- define "platform.spread" -}}
topologySpreadConstraints:
{{- range tuple "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "platform.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
{{- end }}
{{- end }}
