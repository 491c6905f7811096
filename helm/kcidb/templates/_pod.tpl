{{/* Parts of every pod. */}}
{{- define "kcidb.pod.common" -}}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: {{ .root.Values.serviceAccount.automountToken }}
enableServiceLinks: false
securityContext:
  {{- mergeOverwrite (deepCopy .root.Values.podSecurityContext) (.podSecurityContext | default dict) | toYaml | nindent 2 }}
{{- end }}

{{- define "kcidb.container.security" -}}
securityContext:
  {{- mergeOverwrite (deepCopy .root.Values.containerSecurityContext) (.containerSecurityContext | default dict) | toYaml | nindent 2 }}
{{- end }}

{{/* One of the three probes: call with (dict "root" $ "values" service "name" "startup" "path" "/livez"). */}}
{{- define "kcidb.probe" -}}
{{- $own := index .values.probes .name }}
{{ .name }}Probe:
{{- if $own }}
  {{- toYaml $own | nindent 2 }}
{{- else }}
  httpGet: {path: {{ .path }}, port: admin}
  {{- toYaml (index .root.Values.probes .name) | nindent 2 }}
{{- end }}
{{- end }}

{{/* With singleNode, pods that use the volume go where the others are. */}}
{{- define "kcidb.spoolAffinity" -}}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "kcidb.selector" (dict "root" .) | nindent 10 }}
        matchExpressions:
          - {key: app.kubernetes.io/component, operator: In, values: [gateway, ingester, status]}
{{- end }}

{{- define "kcidb.spread" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "kcidb.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{/*
The pod of a one-shot command (Jobs, CronJob): call with
(dict "root" $ "component" "migrate" "args" (list …) "env" text "volumes" text "mounts" text "resources" map "affinity" text).
A hook runs before the service account exists, so these pods only use one that was there before.
*/}}
{{- define "kcidb.jobPod" -}}
metadata:
  labels:
    {{- include "kcidb.labels" . | nindent 4 }}
spec:
  restartPolicy: Never
  {{- if not .root.Values.serviceAccount.create }}
  serviceAccountName: {{ include "kcidb.serviceAccount" .root }}
  {{- end }}
  {{- include "kcidb.pod.common" . | trim | nindent 2 }}
  {{- with .affinity }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "kcidb.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      env:
        {{- include "kcidb.env.logs" .root | nindent 8 }}
        {{- .env | nindent 8 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      {{- include "kcidb.container.security" . | nindent 6 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- with .mounts }}
        {{- trim . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ .root.Values.tmpSize }}}
    {{- with .volumes }}
    {{- trim . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Whether the Jobs of an installation are hooks: Secrets and servers have to be there before the chart. */}}
{{- define "kcidb.hooks" -}}
{{- if and .Values.migrations.asHook (not .Values.demo.enabled) (eq (include "kcidb.ownSecrets" . | trim) "{}") }}true{{ end }}
{{- end }}

{{/*
Name, labels and, for a hook, annotations: call with (dict "root" $ "component" "migrate" "weight" "-5").
A Job cannot be changed, so one that is no hook gets a new name with every change, also where the revision is always 1 (GitOps).
*/}}
{{- define "kcidb.jobMetadata" -}}
{{- if include "kcidb.hooks" .root -}}
{{ include "kcidb.metadata" . }}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation
{{- else -}}
{{ include "kcidb.metadata" (merge (dict "suffix" (printf "%s-%d-%s" .component .root.Release.Revision (printf "%s%s" (include "kcidb.image" .root) (toJson .root.Values) | sha256sum | trunc 6))) .) }}
{{- end }}
{{- end }}
