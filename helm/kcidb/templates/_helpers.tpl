{{/* Names. The full name is cut to 40 characters, so that every name made of it stays below 63. */}}
{{- define "kcidb.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "kcidb.fullname" -}}
{{- $name := include "kcidb.name" . }}
{{- if .Values.fullnameOverride }}{{ $name = .Values.fullnameOverride }}
{{- else if not (contains $name .Release.Name) }}{{ $name = printf "%s-%s" .Release.Name $name }}
{{- else }}{{ $name = .Release.Name }}
{{- end }}
{{- $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Labels: call with (dict "root" $ "component" "gateway"). */}}
{{- define "kcidb.selector" -}}
app.kubernetes.io/name: {{ include "kcidb.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "kcidb.labels" -}}
{{ include "kcidb.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | toString | quote }}
app.kubernetes.io/part-of: kcidb
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "kcidb.metadata" -}}
name: {{ include "kcidb.fullname" .root }}{{ with .suffix | default .component }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "kcidb.labels" . | nindent 2 }}
{{- end }}

{{/* What each service needs, as {service: {need: true}}. Everything else follows from this table. */}}
{{- define "kcidb.needs" -}}
gateway: {http: true, auth: true, broker: true, spool: true}
ingester: {database: true, broker: true, spool: true}
logspec: {database: true, broker: true, cache: true}
status: {http: true, auth: true, database: true, broker: true, spool: true}
{{- end }}

{{/* The services that are on, as {list: […]}. */}}
{{- define "kcidb.services" -}}
list:
{{- range $name := list "gateway" "ingester" "logspec" "status" }}
{{- if (index $.Values $name).enabled }}
  - {{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{/* How many pods a service starts with: call with the service's values. */}}
{{- define "kcidb.minReplicas" -}}
{{- if .autoscaling.enabled }}{{ .autoscaling.minReplicas }}
{{- else if (.keda | default dict).enabled }}{{ .keda.minReplicas }}
{{- else }}{{ .replicas }}
{{- end }}
{{- end }}

{{- define "kcidb.maxReplicas" -}}
{{- if .autoscaling.enabled }}{{ .autoscaling.maxReplicas }}
{{- else if (.keda | default dict).enabled }}{{ .keda.maxReplicas }}
{{- else }}{{ .replicas }}
{{- end }}
{{- end }}

{{/* A value as text: numbers never in the 1e+09 form. */}}
{{- define "kcidb.text" -}}
{{- if not (kindIs "float64" .) }}{{ . }}
{{- else if eq (floor .) . }}{{ printf "%.0f" . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{- define "kcidb.registry" -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end }}{{ .image }}
{{- end }}

{{- define "kcidb.image" -}}
{{- $version := printf ":%s" (.Values.image.tag | default .Chart.AppVersion | toString) }}
{{- with .Values.image.digest }}{{ $version = printf "@%s" . }}{{ end }}
{{- include "kcidb.registry" (dict "root" . "image" (printf "%s%s" .Values.image.repository $version)) }}
{{- end }}

{{/* Where servers and Secrets are, with demo.enabled taken into account. */}}
{{- define "kcidb.database.host" -}}
{{- if .Values.demo.enabled }}{{ include "kcidb.fullname" . }}-postgres{{ else }}{{ .Values.database.host }}{{ end }}
{{- end }}

{{- define "kcidb.rabbitmq.host" -}}
{{- if .Values.demo.enabled }}{{ include "kcidb.fullname" . }}-rabbitmq{{ else }}{{ .Values.rabbitmq.host }}{{ end }}
{{- end }}

{{/* The user of a service at the broker: call with (dict "root" $ "component" "gateway"). */}}
{{- define "kcidb.rabbitmq.user" -}}
{{ .root.Values.rabbitmq.vhost }}-{{ .component }}
{{- end }}

{{/* URL of the management API without user and password; empty when only the Secret knows it. */}}
{{- define "kcidb.rabbitmq.management" -}}
{{- $host := include "kcidb.rabbitmq.host" . }}
{{- if .Values.rabbitmq.managementUrl }}{{ trimSuffix "/" .Values.rabbitmq.managementUrl }}
{{- else if $host }}{{ ternary "https" "http" .Values.rabbitmq.tls }}://{{ $host }}:{{ ternary "15671" "15672" .Values.rabbitmq.tls }}
{{- end }}
{{- end }}

{{/* Name of a Secret: call with (dict "root" $ "of" "auth"|"database"|"rabbitmq"). */}}
{{- define "kcidb.secret" -}}
{{- default (printf "%s-%s" (include "kcidb.fullname" .root) .of) (index .root.Values .of).existingSecret }}
{{- end }}

{{/* Which Secrets the chart makes itself, as {of: {key: value}}. */}}
{{- define "kcidb.ownSecrets" -}}
{{- $v := .Values }}
{{- $own := dict }}
{{- $plain := dict "auth" $v.auth.jwtSecret "database" $v.database.password "rabbitmq" $v.rabbitmq.password }}
{{- range $of, $value := $plain }}
{{- if and (not (index $v $of).existingSecret) (or $value $v.demo.enabled) }}
{{- $_ := set $own $of $value }}
{{- end }}
{{- end }}
{{- toYaml $own }}
{{- end }}

{{- define "kcidb.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "kcidb.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Whether all pods with the volume have to be on one node. */}}
{{- define "kcidb.singleNode" -}}
{{- if or .Values.spool.volume.singleNode .Values.demo.enabled }}true{{ end }}
{{- end }}
