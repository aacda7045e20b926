"""Named situations. Every message says subject, value, verdict: "capture 3f0a…: 412 bytes, not an image".

The library raises these and nothing vaguer for what a caller can meet; ``serving.errors`` and ``clarity.cli``
translate them once. No message carries a patient's name, e-mail or phone.
"""


class ClarityError(Exception):
    """Base of every situation that Clarity names."""


# configuration and environment
class ParameterError(ClarityError):
    """A key or value of the configuration is unknown or out of range."""


class SettingsError(ClarityError):
    """An address or a secret is missing from the environment or malformed."""


class StackError(ClarityError):
    """A part of the local stack could not be started, reached or stopped."""


# photographs
class UnreadableImage(ClarityError):
    """The bytes are not an image that Clarity can decode: empty, truncated, or another kind of file."""


class ImageTooLarge(UnreadableImage):
    """More bytes or pixels than the configuration admits; refused before decoding."""


class NotFundus(ClarityError):
    """The image decodes, and no fundus field of view is found in it."""


class Ungradable(ClarityError):
    """The quality gate refuses the capture. Never reported as "no DR"."""


# data
class ManifestError(ClarityError):
    """A source's table or the manifest lacks a column, has an unknown grade, or contradicts itself."""


class SourceError(ClarityError):
    """A data source is absent, unreadable, or not in the layout that its adapter knows."""


class TooManyBad(ClarityError):
    """More than the configured share of photographs is bad: the data set's version does not change."""


class LeakError(ClarityError):
    """One patient, or one near-duplicate photograph, stands on two sides of the split."""


class WorkspaceError(ClarityError):
    """A DVC command failed, or the workspace is in use or not initialised."""


# models
class WeightsUnavailable(ClarityError):
    """Starting weights could not be had (offline, missing file, missing extra). Says what can be had instead."""


class TrainingDiverged(ClarityError):
    """The loss is not a number any more: the learning rate is too high, or the photographs are not what they seem."""


class BundleError(ClarityError):
    """A bundle is incomplete, corrupted, or its imaging fingerprint is not this code's."""


class OverlayError(ClarityError):
    """A heatmap's overlay could not be written to a file."""


class InferenceError(ClarityError):
    """The engine gave something that is not a result: NaN, or a map of the wrong shape. Never a grade."""


class NoModel(ClarityError):
    """The registry has no version of the model of that name."""


class NoChampion(ClarityError):
    """No model version is promoted."""


# services
class StorageError(ClarityError):
    """PostgreSQL or the object store could not be reached or refused an operation."""


class StorageUnavailable(StorageError):
    """PostgreSQL or the object store did not answer, or is overloaded: the same call may succeed later."""


class ClusterUnavailable(ClarityError):
    """The Dask cluster that a night is configured for cannot be reached, or has lost all its workers."""


class ObjectMissing(StorageError):
    """There is no object of that key."""


class InboxError(ClarityError):
    """An object in the inbox cannot be attributed to a patient and an eye."""


class InboxConflict(InboxError):
    """Two say different things of one photograph: a person has to decide."""


class AnotherPatient(InboxConflict):
    """The photograph is another patient's: a person has to decide."""


class AnotherEye(InboxConflict):
    """The photograph is known as the other eye's, or its own tags say so: a person has to decide."""


class AnotherVisit(InboxConflict):
    """The photograph is known from another visit: a person has to decide."""


class InboxRefused(InboxError):
    """An object of the inbox is no photograph, or not the one announced: too large, cut short, another file."""


class ScreeningIncomplete(ClarityError):
    """A part of a night failed for a reason that is not a photograph's; what failed is tried again by the next run."""


class RepairIncomplete(ClarityError):
    """Something that a dead night left could not be mended; what could be was."""


class DrillError(ClarityError):
    """A fault drill could not be carried out, or found what must not be."""


class UnknownRecord(ClarityError):
    """There is no patient, scan or key of that id."""


class PatientError(ClarityError):
    """What is said of a patient cannot be kept: a field is malformed or contradicts another."""


class PatientExists(PatientError):
    """The external id is another patient's; never whose."""


class SealError(ClarityError):
    """Who a patient is cannot be sealed or opened: a key is missing, malformed or not the one that sealed it."""


class Erased(ClarityError):
    """Who this patient was has been erased: nothing can be changed or added."""


class AccessRefused(ClarityError):
    """No key, an unknown, expired or revoked one."""


class ScopeMissing(AccessRefused):
    """A key that is good, and not for this."""


class TooManyRequests(ClarityError):
    """More requests than the key may make in a minute."""

    def __init__(self, *said: object, retry_after_s: int = 1) -> None:
        super().__init__(*said)
        self.retry_after_s = retry_after_s


class IdempotencyConflict(ClarityError):
    """An Idempotency-Key that was used for another request."""


class ReviewError(ClarityError):
    """A review of a capture that is not known or that no model has judged, or one that decides nothing."""


class NotJudged(ReviewError):
    """A review of a capture of which no model has said anything that a person could agree or disagree with."""


class ExportError(ClarityError):
    """A result cannot be written in the format that was asked for, or there is no place to write it to."""


class LimitPassed(ClarityError):
    """A night did its work and found more than the configuration admits: a person has to look before trusting it."""


class AlreadyRunning(ClarityError):
    """Another night of screening, or another writer of this workspace, holds the lock."""
