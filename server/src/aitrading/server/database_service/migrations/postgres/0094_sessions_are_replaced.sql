-- A login in a browser ends the session that this browser had before.
ALTER TABLE identity.sessions
    DROP CONSTRAINT sessions_ended_reason_check,
    ADD CONSTRAINT sessions_ended_reason_check
        CHECK (ended_reason IN ('logout', 'refresh_reuse', 'suspended', 'password', 'erased', 'role',
                                'factors', 'guessing', 'replaced'));
