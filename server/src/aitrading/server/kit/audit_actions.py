"""Every action that is audited: its name, its meaning, and whether it is a security event.

An event of another action cannot be written: `AuditEvent.action` has the type of this list.
"""

from enum import StrEnum
from typing import Self


class AuditAction(StrEnum):
    """What was done or refused.

    `is_security` marks those that tell who got in or was refused, or whose rights, keys and devices
    changed. Whatever was denied is a security event too, of any action.
    """

    is_security: bool
    meaning: str

    LOGIN_REFUSED = "identity.login.refused", True, "A login was refused."
    FIRST_PASSWORD_ENDED = (
        "identity.login.first_password_ended",
        True,
        "A first password was right and came after its end; the host makes a new one.",
    )
    LOGIN_THROTTLED = "identity.login.throttled", True, "A login came before its wait was over."
    CODE_REFUSED = "identity.code.refused", True, "A one-time code or a renewal was refused."
    REFRESH_REFUSED = "identity.token.refused", True, "A refresh token was refused."
    REFRESH_REUSED = (
        "identity.session.refresh_reused",
        True,
        "A used refresh token came again; the session was ended for both.",
    )
    TOKEN_MISUSED = (
        "identity.token.misused",
        True,
        "A token came after its session ended, without what it is bound to, or with a used proof.",
    )
    ACCESS_REFUSED = (
        "access.refused",
        True,
        "Somebody who is logged in asked for what is not theirs.",
    )
    ACCESS_UNTOLD = (
        "access.untold",
        True,
        "A service had no room for refusals; the details tell for how many.",
    )
    EDGE_TOKEN_REFUSED = (
        "edge.token.refused",
        True,
        "A request came with a token that this installation did not make.",
    )
    EDGE_LIMITED = "edge.limit.refused", True, "An address sent more than the edge takes."
    SESSION_OPENED = "identity.session.opened", True, "A person logged in."
    SESSION_ENDED = (
        "identity.session.ended",
        True,
        "A person logged out, here or elsewhere, or the session was used to guess codes.",
    )
    NETWORK_REFUSED = (
        "identity.network.refused",
        True,
        "Somebody proved who they are, from a network that the organisation does not allow.",
    )
    SESSION_NETWORK_CHANGED = (
        "identity.session.network_changed",
        True,
        "A session was renewed from another network: what is dangerous needs a fresh proof again.",
    )
    LOGIN_LINK_CREATED = "identity.login_link.created", True, "A one-time login link was made."
    TOKEN_GIVEN = "identity.token.given", True, "The host took a token in a person's name."
    USER_CREATED = "identity.user.created", True, "A person was added, with a role."
    USER_PASSWORD_RESET = (
        "identity.user.password_reset",
        True,
        "A password was replaced; every session of the person ended.",
    )
    USER_PASSWORD_CHANGED = (
        "identity.user.password_changed",
        True,
        "A person changed the own password; every other session of the person ended.",
    )
    PASSWORD_CHANGE_REFUSED = (
        "identity.user.password_refused",
        True,
        "A change of the own password came with a wrong old one.",
    )
    FACTOR_ADDED = "identity.factor.added", True, "A person set up a second factor."
    FACTOR_REMOVED = "identity.factor.removed", True, "A person took a second factor away."
    FACTORS_RESET = (
        "identity.factor.reset",
        True,
        "The host took away a person's second factors; every session of the person ended.",
    )
    SECOND_FACTOR_REFUSED = "identity.factor.refused", True, "A second factor was refused."
    KEY_STEPPED_BACK = (
        "identity.key.stepped_back",
        True,
        "A security key's counter did not grow: there may be a copy of the key.",
    )
    RECOVERY_CODES_MADE = "identity.recovery_codes.made", True, "New recovery codes were made."
    RECOVERY_CODE_USED = "identity.recovery_code.used", True, "A recovery code was used up."
    STEPPED_UP = "identity.session.stepped_up", True, "A person proved anew who they are."
    PROGRAM_KEY_CREATED = (
        "identity.api_key.created",
        True,
        "A program was given a key, with scopes.",
    )
    PROGRAM_KEY_REVOKED = (
        "identity.api_key.revoked",
        True,
        "A program's key ended, with its tokens.",
    )
    PROGRAM_KEY_REFUSED = "identity.api_key.refused", True, "A key of a program was refused."
    USER_SUSPENDED = "identity.user.suspended", True, "A person was locked out."
    USER_ACTIVE = "identity.user.active", True, "A person was let in again."
    USER_ROLE_CHANGED = (
        "identity.user.role_changed",
        True,
        "A person got another role; every session of the person ended.",
    )
    EDGE_KEY_ROTATED = (
        "edge.key.rotated",
        True,
        "The edge shows its backup key, and devices are told of the next one.",
    )
    SITE_CERTIFICATE_INSTALLED = (
        "edge.certificate.installed",
        True,
        "Browsers are shown another certificate of a public authority.",
    )
    SITE_CERTIFICATE_REMOVED = (
        "edge.certificate.removed",
        True,
        "Browsers are shown the installation's own certificate again.",
    )
    DEVICE_INVITED = "identity.device.invited", True, "A one-time code for a device was made."
    DEVICE_ENROLLED = "identity.device.enrolled", True, "A device got its first certificate."
    DEVICE_RENEWED = "identity.device.renewed", True, "A device got its next certificate."
    DEVICE_REVOKED = "identity.device.revoked", True, "A device may not connect any more."
    DEVICE_SHARED = (
        "identity.device.shared",
        True,
        "Two clients use one device's certificate: its home was copied, or its key was stolen.",
    )
    DEVICE_LINK_REFUSED = (
        "identity.device.link_refused",
        True,
        "A device was not let in: it is revoked or unknown, its plan ended, or it broke the protocol.",
    )
    DEVICE_REQUEST_REFUSED = (
        "identity.device.request_refused",
        True,
        "A request in a device's name was not signed by it, or the device is not active.",
    )
    DEVICE_BARRED = (
        "identity.device.barred",
        True,
        "A device reported altered files and may open nothing new.",
    )
    DEVICE_ALLOWED = (
        "identity.device.allowed",
        True,
        "An administrator let a barred device open positions again.",
    )
    DEVICE_UNSIGNED = (
        "identity.device.unsigned",
        True,
        "A device whose files were intact has no signed list of them any more.",
    )
    DEVICE_WATCHED = "identity.device.watched", True, "A device reported a debugger."
    DEVICE_TOKEN_ISSUED = (
        "identity.device.token_issued",
        False,
        "A device got a token of 15 minutes, bound to its certificate.",
    )
    CREDENTIAL_SHARE_MADE = (
        "identity.credential.share_made",
        True,
        "A device got a new half of the key of its stored broker login.",
    )
    CREDENTIAL_LEASED = (
        "identity.credential.leased",
        True,
        "A device may open its stored broker login for a day.",
    )
    CREDENTIAL_FORGOTTEN = (
        "identity.credential.forgotten",
        True,
        "A device gave up its stored broker login.",
    )
    CREDENTIAL_ROTATION_WANTED = (
        "identity.credential.rotation_wanted",
        True,
        "A device was told to seal its stored broker login anew.",
    )
    DEVICE_SETTING_SET = "identity.device.setting_set", False, "A setting of clients was set."
    DEVICE_SETTING_UNSET = (
        "identity.device.setting_unset",
        False,
        "A setting of clients was taken back.",
    )
    CONNECTION_ENDED = "connection.ended", True, "An open connection was ended by hand."
    TOKEN_KEY_ROTATED = (
        "identity.token_key.rotated",
        True,
        "Another key signs access tokens; the details name it, and whether older tokens were ended.",
    )
    KEY_REWRAPPED = (
        "identity.key.rewrapped",
        True,
        "The key of an organisation's personal data was wrapped by another master key.",
    )
    SERVICE_ADMITTED = "services.admitted", True, "The host gave a service of its own an identity."
    SERVICE_DISMISSED = "services.dismissed", True, "The host took a service's identity away."
    TENANT_CREATED = "identity.tenant.created", False, "An organisation was added."
    TENANT_SUSPENDED = (
        "identity.tenant.suspended",
        True,
        "An organisation was kept out; its sessions ended.",
    )
    TENANT_ACTIVATED = "identity.tenant.activated", True, "An organisation was let in again."
    TENANT_ERASED = (
        "identity.tenant.erased",
        True,
        "The key of an organisation's personal data was destroyed, for good.",
    )
    ACCOUNT_CREATED = "identity.account.created", False, "A broker account was added."
    ACCOUNT_DEVICE_SET = (
        "identity.account.device_set",
        True,
        "The device that may execute a broker account was changed.",
    )
    SUBSCRIPTION_CHANGED = (
        "identity.subscription.changed",
        False,
        "What an organisation or a person is entitled to was changed.",
    )
    KILL_ENGAGED = "trading.kill.engaged", True, "The kill switch of an organisation was engaged."
    LIMITS_REDUCED = (
        "limits.reduced",
        True,
        "A service grants a share of its limits, because work waits in it.",
    )
    LIMITS_RESTORED = (
        "limits.restored",
        True,
        "A service grants its whole limits again; the details tell the longest wait and the least share.",
    )
    SETTING_GRANTED = "settings.granted", False, "A setting was granted to an organisation."
    SETTING_TAKEN_BACK = "settings.taken_back", False, "A granted setting was taken back."
    LOG_POLICY_CHANGED = "logs.policy.changed", False, "How long logs stay was changed."
    LOG_TIER_CHANGED = "logs.tier.changed", False, "The description of a tier was changed."
    RESOLUTION_ADDED = "errors.resolution_added", False, "A note on an error was added."
    RESOLUTION_CHANGED = "errors.resolution_changed", False, "A note on an error was changed."
    RESOLUTION_DELETED = "errors.resolution_deleted", False, "A note on an error was deleted."
    CHAIN_SAVED = "chains.definition_saved", False, "A chain was defined."
    CHAIN_REMOVED = "chains.definition_removed", False, "A chain was removed."
    BACKUP_BEGIN = "backup.begin", False, "A backup began."
    BACKUP_END = "backup.end", False, "A backup ended, well or not."
    BACKUP_VERIFY = "backup.verify", False, "A backup was restored on trial and examined."
    BACKUP_RESTORE = "backup.restore", True, "A home was made from a backup."

    def __new__(cls, name: str, is_security: bool, meaning: str) -> Self:
        """One line of the list above."""
        action = str.__new__(cls, name)
        action._value_ = name
        action.is_security = is_security
        action.meaning = meaning
        return action
