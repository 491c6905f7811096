{{/* Environment, by what is needed. Nothing secret is written out: it comes from Secrets. */}}
{{- define "kcidb.env.secretKey" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}
{{- end }}

{{- define "kcidb.env.logs" -}}
- name: KCIDB_LOG
  value: {{ .Values.logs.level | quote }}
- name: KCIDB_LOG_FORMAT
  value: {{ .Values.logs.format | quote }}
{{- end }}

{{- define "kcidb.env.auth" -}}
{{- $secret := include "kcidb.secret" (dict "root" . "of" "auth") }}
{{- include "kcidb.env.secretKey" (dict "name" "JWT_SECRET" "secret" $secret "key" .Values.auth.secretKey) }}
{{- with .Values.auth.unifiedSecretKey }}
{{ include "kcidb.env.secretKey" (dict "name" "UNIFIED_SECRET" "secret" $secret "key" .) }}
{{- end }}
{{- with .Values.auth.audiences }}
- name: KCIDB_JWT_AUDIENCES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}

{{- define "kcidb.env.database" -}}
{{- $db := .Values.database }}
{{- $secret := include "kcidb.secret" (dict "root" . "of" "database") }}
{{- with include "kcidb.database.host" . }}
{{- $mode := ternary "disable" $db.sslMode $.Values.demo.enabled }}
- name: DATABASE_URL
  value: {{ printf "postgresql://%s@%s:%s/%s?sslmode=%s" (urlquery $db.user) . (include "kcidb.text" $db.port) (urlquery $db.name) $mode | quote }}
- name: DATABASE_PASSWORD_FILE
  value: /run/secrets/database/password
{{- else }}
{{- include "kcidb.env.secretKey" (dict "name" "DATABASE_URL" "secret" $secret "key" $db.urlKey) }}
{{- end }}
- name: KCIDB_DATABASE_CONNECTIONS
  value: {{ include "kcidb.text" $db.pool.connections | quote }}
- name: KCIDB_DATABASE_CONNECT_TIMEOUT
  value: {{ $db.pool.connectTimeout | quote }}
- name: KCIDB_DATABASE_STATEMENT_TIMEOUT
  value: {{ $db.pool.statementTimeout | quote }}
- name: KCIDB_DATABASE_LOCK_TIMEOUT
  value: {{ $db.pool.lockTimeout | quote }}
{{- end }}

{{/* The password is a file, so it may hold any character. */}}
{{- define "kcidb.volume.database" -}}
{{- if include "kcidb.database.host" . }}
- name: database-password
  secret:
    secretName: {{ include "kcidb.secret" (dict "root" . "of" "database") }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.database.passwordKey }}, path: password}
{{- end }}
{{- end }}

{{- define "kcidb.mount.database" -}}
{{- if include "kcidb.database.host" . }}
- {name: database-password, mountPath: /run/secrets/database, readOnly: true}
{{- end }}
{{- end }}

{{/* The broker for a service as its own user, where there are such, or for a Job as the administrator: call with (dict "root" $ "component" name). */}}
{{- define "kcidb.env.broker" -}}
{{- $mq := .root.Values.rabbitmq }}
{{- $secret := include "kcidb.secret" (dict "root" .root "of" "rabbitmq") }}
{{- $own := and $mq.users.existingSecret (get $mq.users.keys .component) }}
{{- $user := include "kcidb.rabbitmq.user" . }}
{{- with include "kcidb.rabbitmq.host" .root }}
{{- if $own }}
- name: RABBITMQ_USERNAME
  value: {{ urlquery $user | quote }}
{{ include "kcidb.env.secretKey" (dict "name" "RABBITMQ_PASSWORD" "secret" $mq.users.existingSecret "key" $own) }}
- name: KCIDB_BROKER_DECLARE
  value: "false"
{{- else }}
{{- include "kcidb.env.secretKey" (dict "name" "RABBITMQ_USERNAME" "secret" $secret "key" $mq.usernameKey) }}
{{ include "kcidb.env.secretKey" (dict "name" "RABBITMQ_PASSWORD" "secret" $secret "key" $mq.passwordKey) }}
{{- end }}
- name: AMQP_URL
  value: {{ printf "%s://$(RABBITMQ_USERNAME):$(RABBITMQ_PASSWORD)@%s:%s/%s" (ternary "amqps" "amqp" $mq.tls) . (include "kcidb.text" $mq.port) (urlquery $mq.vhost) | quote }}
{{- else }}
{{- include "kcidb.env.secretKey" (dict "name" "AMQP_URL" "secret" $secret "key" $mq.urlKey) }}
{{- end }}
- name: KCIDB_MAX_ATTEMPTS
  value: {{ include "kcidb.text" $mq.maxAttempts | quote }}
{{- end }}

{{/* The passwords of the users that the topology Job makes. */}}
{{- define "kcidb.env.users" -}}
{{- $users := .Values.rabbitmq.users }}
{{- if $users.existingSecret }}
{{- range $service, $key := $users.keys }}
{{ include "kcidb.env.secretKey" (dict "name" (printf "KCIDB_BROKER_PASSWORD_%s" (upper $service)) "secret" $users.existingSecret "key" $key "optional" (has $service (list "operator" "keda"))) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The management API takes the user of AMQP_URL, unless its own URL names one. */}}
{{- define "kcidb.env.management" -}}
{{- with include "kcidb.rabbitmq.management" . -}}
- name: RABBITMQ_MANAGEMENT_URL
  value: {{ . | quote }}
{{- else }}
{{- include "kcidb.env.secretKey" (dict "name" "RABBITMQ_MANAGEMENT_URL" "secret" (include "kcidb.secret" (dict "root" . "of" "rabbitmq")) "key" .Values.rabbitmq.managementUrlKey) }}
{{- end }}
{{- end }}

{{- define "kcidb.env.spool" -}}
{{- $limits := .Values.spool.limits }}
- name: KCIDB_SPOOL
  value: /app/spool
- name: KCIDB_SPOOL_MAX_FILES
  value: {{ include "kcidb.text" $limits.maxFiles | quote }}
- name: KCIDB_SPOOL_MIN_FREE
  value: {{ include "kcidb.text" $limits.minFreeBytes | quote }}
- name: KCIDB_SPOOL_MAX_INCOMING
  value: {{ include "kcidb.text" $limits.maxIncomingBytes | quote }}
{{- end }}

{{- define "kcidb.volume.spool" -}}
- name: spool
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-spool" (include "kcidb.fullname" .)) .Values.spool.volume.existingClaim }}
{{- end }}

{{- define "kcidb.mount.spool" -}}
- {name: spool, mountPath: /app/spool}
{{- end }}

{{- define "kcidb.env.tracing" -}}
{{- $t := .root.Values.tracing }}
- name: OTEL_SERVICE_NAME
  value: kcidb-{{ .component }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ $t.endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ $t.protocol | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $t.samplerRatio | quote }}
{{- with $t.headersSecret }}
{{ include "kcidb.env.secretKey" (dict "name" "OTEL_EXPORTER_OTLP_HEADERS" "secret" . "key" "headers") }}
{{- end }}
{{- end }}

{{/* Addresses and times that only one service has: call with (dict "root" $ "component" name "values" its values). */}}
{{- define "kcidb.env.own" -}}
{{- $upper := upper .component }}
- name: KCIDB_{{ $upper }}_ADMIN
  value: "0.0.0.0:8081"
{{- if eq .component "gateway" }}
{{- $grace := sub (sub .values.terminationGracePeriodSeconds .values.preStopSleepSeconds) 5 | max 1 }}
- name: KCIDB_GATEWAY_LISTEN
  value: "0.0.0.0:8080"
- name: KCIDB_ORIGIN_POLICY
  value: {{ .root.Values.auth.originPolicy | quote }}
- name: KCIDB_PRE_STOP
  value: {{ printf "%ss" (include "kcidb.text" .values.preStopSleepSeconds) }}
- name: KCIDB_GRACE
  value: {{ printf "%ds" (int $grace) }}
{{- if .root.Values.status.enabled }}
- name: STATUS_URL
  value: {{ printf "http://%s-status:%s" (include "kcidb.fullname" .root) (include "kcidb.text" .root.Values.status.service.port) }}
{{- end }}
{{- else if eq .component "status" }}
- name: KCIDB_STATUS_LISTEN
  value: "0.0.0.0:8080"
{{- else if eq .component "logspec" }}
- name: KCIDB_LOG_CACHE
  value: /var/cache/kcidb
{{- if .values.settings }}
- name: KCIDB_LOGSPEC_CONFIG
  value: /etc/kcidb/logspec.yaml
{{- end }}
{{- end }}
{{- end }}
