{{/* What cannot work stops here, with a sentence. */}}
{{- define "kcidb.checks" -}}
{{- $v := .Values }}
{{- range $of, $plain := dict "auth" $v.auth.jwtSecret "database" $v.database.password "rabbitmq" $v.rabbitmq.password }}
{{- if not (or (index $v $of).existingSecret $plain $v.demo.enabled) }}
{{- fail (printf "%s.existingSecret is required: name the Secret that holds it (or set demo.enabled=true to try the chart)." $of) }}
{{- end }}
{{- end }}
{{- if and $v.database.password (not $v.database.host) (not $v.demo.enabled) }}
{{- fail "database.password needs database.host." }}
{{- end }}
{{- if and $v.rabbitmq.password (not (and $v.rabbitmq.host $v.rabbitmq.username)) (not $v.demo.enabled) }}
{{- fail "rabbitmq.password needs rabbitmq.host and rabbitmq.username." }}
{{- end }}
{{- if and $v.rabbitmq.users.existingSecret (not $v.rabbitmq.host) (not $v.demo.enabled) }}
{{- fail "rabbitmq.users.existingSecret needs rabbitmq.host: the URL of each service is made of it." }}
{{- end }}
{{- if ne $v.spool.type "volume" }}
{{- fail (printf "spool.type=%s is not possible: this version keeps submissions on a volume only." $v.spool.type) }}
{{- end }}
{{- if and (not $v.spool.volume.existingClaim) (not (has "ReadWriteMany" $v.spool.volume.accessModes)) (not (include "kcidb.singleNode" .)) }}
{{- fail "spool.volume.accessModes must have ReadWriteMany, because several pods use the volume; or set spool.volume.singleNode=true to put them all on one node." }}
{{- end }}
{{- range $name := list "ingester" "logspec" }}
{{- $s := index $v $name }}
{{- if and $s.autoscaling.enabled $s.keda.enabled }}
{{- fail (printf "%s.autoscaling.enabled and %s.keda.enabled are both on: choose one." $name $name) }}
{{- end }}
{{- end }}
{{- if $v.ingress.enabled }}
{{- if not $v.ingress.host }}{{ fail "ingress.enabled needs ingress.host." }}{{ end }}
{{- range $v.ingress.tls }}
{{- if not .secretName }}{{ fail "ingress.tls has no certificate: give secretName (cert-manager fills that Secret, too)." }}{{ end }}
{{- end }}
{{- end }}
{{- if and $v.gatewayApi.enabled (not $v.gatewayApi.parentRefs) }}
{{- fail "gatewayApi.enabled needs gatewayApi.parentRefs: the Gateway that the route belongs to." }}
{{- end }}
{{- if and (or $v.ingress.enabled $v.gatewayApi.enabled) (not $v.gateway.enabled) }}
{{- fail "ingress and gatewayApi lead to the gateway: set gateway.enabled=true." }}
{{- end }}
{{- if and $v.tracing.enabled (not $v.tracing.endpoint) }}
{{- fail "tracing.enabled needs tracing.endpoint, such as http://collector:4317." }}
{{- end }}
{{- end }}
