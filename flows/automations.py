"""Prefect tells the webhook of a night that failed or crashed: also where the process died before it could.

``python -m flows.automations`` makes, or brings up to date, the webhook (a block, which keeps the address encrypted)
and the automation on the Prefect server of the environment. The night itself tells the figures
(``clarity.screening.report.notify``); this tells that there was no end to tell of.
"""

import asyncio
from datetime import timedelta
from uuid import UUID

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.types import SecretDict
from pydantic import SecretStr

from clarity.errors import SettingsError
from clarity.settings import Settings

NAME = "clarity: a night failed"
BLOCK = "clarity-night"
_ENDS = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"}
_PAYLOAD = (
    '{"run": "{{ flow_run.name }}", "status": "{{ flow_run.state.name }}", "flow": "{{ flow.name }}", '
    '"sentences": ["the flow ended as {{ flow_run.state.name }}; its report, if it wrote one, says why"]}'
)
"""Names of Prefect's own and none of a file: the message of a state may hold one, and is not sent."""


def automation(block: UUID) -> Automation:
    """Any run of the flow "screen" that ends badly calls this webhook, once a run."""
    return Automation(
        name=NAME,
        description="Tells the webhook of CLARITY_WEBHOOK_URL that a night of screening failed or crashed.",
        trigger=EventTrigger(
            expect=_ENDS,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "screen"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[CallWebhook(block_document_id=block, payload=_PAYLOAD)],
    )


def apply(settings: Settings) -> Automation:
    """Make webhook and automation, or bring them up to date. Raises SettingsError without CLARITY_WEBHOOK_URL."""
    if settings.webhook is None:
        raise SettingsError("CLARITY_WEBHOOK_URL: not set, there is nobody to tell")
    return asyncio.run(_apply(SecretStr(settings.webhook)))


async def _apply(url: SecretStr) -> Automation:
    headers = SecretDict({"Content-Type": "application/json"})
    wanted = automation(await Webhook(method="POST", url=url, headers=headers).asave(BLOCK, overwrite=True))
    try:
        known = await Automation.aread(name=NAME)
    except ValueError:
        return await wanted.acreate()
    wanted.id = known.id
    await wanted.aupdate()
    return wanted


def main() -> None:
    """The command: on the Prefect server that the environment or the local stack names."""
    settings = Settings.load()
    try:
        with temporary_settings({PREFECT_API_URL: settings.need("prefect_api_url")}):  # Prefect read its own on import
            made = apply(settings)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    print(f'automation "{made.name}": {made.id}')  # noqa: T201


if __name__ == "__main__":
    main()
