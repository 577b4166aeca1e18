from django.apps import AppConfig


class RagflowConfig(AppConfig):
    name = "ragflow"
    verbose_name = "RAGFlow on Django"

    def ready(self) -> None:
        from ragflow import checks as checks
