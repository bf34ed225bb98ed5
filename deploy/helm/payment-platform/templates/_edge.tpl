{{- /* The templates of nginx's conf.d. Behind an Ingress the client's address and scheme come from its controller. */ -}}
{{- define "platform.edgeTemplates" -}}
{{- $edge := .Files.Get "edge.conf.template" }}
{{- if .Values.ingress.enabled }}
{{- $edge = replace "X-Forwarded-Proto $scheme;" "X-Forwarded-Proto $scheme_of_client;" $edge }}
ingress.conf.template: |
  # Only TRUSTED_PROXIES name the client: the last address of X-Forwarded-For that is none of them.
  real_ip_header X-Forwarded-For;
  real_ip_recursive on;
  geo $realip_remote_addr $is_trusted_proxy {
      default 0;
      {{- range splitList "," .Values.settings.TRUSTED_PROXIES }}
      {{ trim . }} 1;
      {{- end }}
  }
  {{- range splitList "," .Values.settings.TRUSTED_PROXIES }}
  set_real_ip_from {{ trim . }};
  {{- end }}
  map "$is_trusted_proxy $http_x_forwarded_proto" $scheme_of_client {
      default $scheme;
      "1 https" https;
  }
{{- end }}
edge.conf.template: | {{- $edge | nindent 2 }}
{{- end }}
