"""Where the data bridge recovers from faults."""

from typing import Final

from aitrading.core.infrastructure.call_sites import CallSite, Guard, RecoveryStrategy

SERVICE: Final = "data-bridge"

SEGMENT_HANDOVER: Final = CallSite(
    name="bridge-segment-handover",
    strategy=RecoveryStrategy.RETRY,
    service=SERVICE,
    fault="The database service is down, slow or restarting.",
    description="Hands the same segment over again until its marks come back; ticks stay in the "
    "spool and are acknowledged meanwhile.",
)
DATABASE_BREAKER: Final = CallSite(
    name="bridge-database",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="Calls to the database service fail one after the other.",
    description="Calls are held back until the service had time to recover, then one probes. Ticks "
    "are handed over past it: their repeats have pauses of their own, and wait for nothing else.",
)
IDENTITY_BREAKER: Final = CallSite(
    name="bridge-identity",
    strategy=Guard.BREAKER,
    service=SERVICE,
    fault="Calls to the api-gateway fail one after the other, so no device can be checked.",
    description="Calls are held back until it had time to recover, then one probes. Connected "
    "devices stay for five minutes; new ones are refused and come again.",
)
DEVICE_ISOLATION: Final = CallSite(
    name="bridge-device",
    strategy=RecoveryStrategy.ISOLATE,
    service=SERVICE,
    fault="A device sends frames that break the protocol.",
    description="Its link is closed; after faults in a row the device is kept out for a while. "
    "Other devices notice nothing.",
)
SPOOL_HALT: Final = CallSite(
    name="bridge-spool",
    strategy=RecoveryStrategy.HALT,
    service=SERVICE,
    capability="tick ingest",
    fault="The spool is full or its disk does not take data.",
    description="Nothing is acknowledged, links are closed, readiness is false; devices keep "
    "their ticks. Goes on by itself when the disk takes data again.",
)
SEGMENT_QUARANTINE: Final = CallSite(
    name="bridge-segment",
    strategy=RecoveryStrategy.ISOLATE,
    service=SERVICE,
    fault="A segment on disk is damaged, or the database service cannot read it.",
    description="The segment is renamed to *.corrupt and the next ones are handed over.",
)
QUOTES_LAST_KNOWN: Final = CallSite(
    name="bridge-last-known-quotes",
    strategy=RecoveryStrategy.DEGRADE,
    service=SERVICE,
    fault="The database service does not answer while last known quotes are needed.",
    description="The answer has no quotes until a feed delivers, and says `unavailable`.",
)
QUOTE_FALLBACK: Final = CallSite(
    name="bridge-quotes",
    strategy=Guard.FALLBACK,
    service=SERVICE,
    fault="The bridge restarted and no feed of the tenant has delivered yet.",
    description="Answers with the last known quotes with their own time, marked UNKNOWN, or DEAD by age.",
)
VIEWER_PLAN: Final = CallSite(
    name="bridge-viewer-plan",
    strategy=RecoveryStrategy.DEGRADE,
    service=SERVICE,
    fault="The database service cannot tell whether a person's subscription counts.",
    description="What was known last counts; whoever is not known is shown quotes: nobody who "
    "watches a position goes blind because of a database.",
)
ALL_CALL_SITES: Final = (
    SEGMENT_HANDOVER,
    DATABASE_BREAKER,
    IDENTITY_BREAKER,
    DEVICE_ISOLATION,
    SPOOL_HALT,
    SEGMENT_QUARANTINE,
    QUOTES_LAST_KNOWN,
    QUOTE_FALLBACK,
    VIEWER_PLAN,
)
