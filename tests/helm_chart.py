"""Write the Helm chart in infra/helm from the manifests in infra/kubernetes: `python -m tests.helm_chart`.

The manifests are the source; the chart says the same with values in it, so that neither falls behind the other.
"""

import re
from pathlib import Path

INFRA = Path(__file__).parent.parent / "infra"
CHART = INFRA / "helm"
HEAD = "{{/* Written by `python -m tests.helm_chart` from infra/kubernetes/; change it there. */}}\n"
IMAGE = '{{ with .Values.registry }}{{ . }}/{{ end }}evenkeel:{{ required "tag: the commit of the image" .Values.tag }}'
PLACES = (
    (re.compile(r"image: evenkeel-gpu$", re.M), f"image: {IMAGE}-gpu"),
    (re.compile(r"image: evenkeel$", re.M), f"image: {IMAGE}"),
    (re.compile(r"secretKeyRef: \{name: evenkeel,"), "secretKeyRef: {name: {{ .Values.secret }},"),
    (re.compile(r"secretRef: \{name: evenkeel\}"), "secretRef: {name: {{ .Values.secret }}}"),
    (re.compile(r"storage: 100Gi"), "storage: {{ .Values.storage }}"),
    (re.compile(r"replicas: 0"), "replicas: {{ .Values.gpu.replicas }}"),
    (
        re.compile(r"^  name: evenkeel-register$", re.M),
        "  name: evenkeel-register\n  annotations: {helm.sh/hook: 'post-install,post-upgrade', "
        "helm.sh/hook-delete-policy: before-hook-creation}",
    ),
)
ONLY_IF = {
    "server.yaml": ".Values.server",
    "network.yaml": ".Values.networkPolicy",
    "worker-gpu.yaml": ".Values.gpu.replicas",
}


def templates() -> dict[str, str]:
    """Return the templates of the chart by file name."""
    found = {"settings.yaml": HEAD + settings()}
    for path in sorted((INFRA / "kubernetes").glob("*.yaml")):
        if path.name == "namespace.yaml":
            continue
        text = path.read_text()
        for pattern, instead in PLACES:
            text = pattern.sub(lambda _, instead=instead: instead, text)  # type: ignore[misc]
        if (condition := ONLY_IF.get(path.name)) is not None:
            text = f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"
        found[path.name] = HEAD + text
    return found


def settings() -> str:
    """Return the config map of the shared settings."""
    lines = [line for line in (INFRA / "prefect.env").read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.split("=", 1) for line in lines]
    given = "\n".join(f'  {name}: "{value}"' for name, value in pairs)
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: prefect\ndata:\n" + given + "\n"
        '  PREFECT_API_URL: "{{ .Values.apiUrl }}"\n  EVENKEEL_REGISTRY: "{{ .Values.registry }}"\n'
    )


if __name__ == "__main__":
    (CHART / "templates").mkdir(parents=True, exist_ok=True)
    for name, text in templates().items():
        (CHART / "templates" / name).write_text(text)
