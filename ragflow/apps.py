from django.apps import AppConfig


class RagflowConfig(AppConfig):
    name = "ragflow"
    verbose_name = "RAGFlow on Django"

    def ready(self) -> None:
        from apps.accounts.usage import count_spent
        from apps.core.metrics import count_call
        from ragflow import checks as checks
        from ragflow.engine.calls import observers, spending_observers

        if count_call not in observers:
            observers.append(count_call)
            spending_observers.append(count_spent)
