{{- define "llm-router.fullname" -}}
{{- if contains "llm-router" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-llm-router" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "llm-router.selector" -}}
app.kubernetes.io/name: llm-router
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: router
{{- end -}}

{{- define "llm-router.labels" -}}
{{ include "llm-router.selector" . }}
{{ include "llm-router.release" . }}
{{- end -}}

{{- define "llm-router.release" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "llm-router.valkey.selector" -}}
app.kubernetes.io/name: llm-router
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: valkey
{{- end -}}

{{- define "llm-router.valkey.labels" -}}
{{ include "llm-router.valkey.selector" . }}
{{ include "llm-router.release" . }}
{{- end -}}

{{- define "llm-router.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "llm-router.configMap" -}}
{{ .Values.existingConfigMap | default (include "llm-router.fullname" .) }}
{{- end -}}

{{- define "llm-router.secret" -}}
{{ .Values.secret.existingSecret | default (include "llm-router.fullname" .) }}
{{- end -}}

{{- define "llm-router.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "llm-router.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* A pod has this long from being told to leave to being killed. The kubelet counts preStop in. */}}
{{- define "llm-router.grace" -}}
{{- with .Values.drain -}}
{{ addf .preStop .delay .seconds .margin | ceil | int }}
{{- end -}}
{{- end -}}

{{- define "llm-router.redis" -}}
{{- if .Values.valkey.enabled -}}
{{- $host := printf "%s-valkey:6379/0" (include "llm-router.fullname" .) -}}
{{- with .Values.valkey.passwordKey -}}
redis://:${file:/run/secrets/llm-router/{{ . }}}@{{ $host }}
{{- else -}}
redis://{{ $host }}
{{- end -}}
{{- else if .Values.redis.urlKey -}}
${file:/run/secrets/llm-router/{{ .Values.redis.urlKey }}}
{{- else -}}
{{ .Values.redis.url }}
{{- end -}}
{{- end -}}

{{/* Values that contradict each other, or router.yaml: said before anything is installed. */}}
{{- define "llm-router.check" -}}
{{- $config := fromYaml .Values.config -}}
{{- if $config.Error -}}
{{- fail (printf "config is no YAML mapping: %s" $config.Error) -}}
{{- end -}}
{{- if not .Values.existingConfigMap -}}
{{- $server := $config.server | default dict -}}
{{- range $setting, $value := dict "drain_delay" "drain.delay" "drain_seconds" "drain.seconds" "workers" "workers" -}}
{{- if hasKey $server $setting -}}
{{- fail (printf "config has server.%s: take it out and set the value %s, which the pod's own settings depend on" $setting $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secret.existingSecret .Values.secret.data -}}
{{- fail "give secret.data or secret.existingSecret, not both" -}}
{{- end -}}
{{- if not (or .Values.secret.existingSecret .Values.secret.data) -}}
{{- if contains "/run/secrets/llm-router/" .Values.config | and (not .Values.existingConfigMap) -}}
{{- fail "config reads from /run/secrets/llm-router: give secret.data (--set secret.data.master-key=…) or secret.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- if .Values.secret.data -}}
{{- range $value, $key := dict "redis.urlKey" .Values.redis.urlKey "valkey.passwordKey" .Values.valkey.passwordKey -}}
{{- if and $key (not (hasKey $.Values.secret.data $key)) -}}
{{- fail (printf "%s names %s, which secret.data has not" $value $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling and keda would both scale the Deployment: enable one of them" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.serverAddress) -}}
{{- fail "keda needs keda.serverAddress, the address of Prometheus" -}}
{{- end -}}
{{- if and .Values.valkey.enabled (or .Values.redis.url .Values.redis.urlKey) -}}
{{- fail "give redis or enable valkey, not both" -}}
{{- end -}}
{{- if and .Values.redis.url .Values.redis.urlKey -}}
{{- fail "give redis.url or redis.urlKey, not both" -}}
{{- end -}}
{{- end -}}
