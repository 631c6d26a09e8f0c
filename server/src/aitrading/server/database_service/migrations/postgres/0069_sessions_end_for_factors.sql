-- A session also ends when somebody's second factors are taken away, or when it is used to guess.
ALTER TABLE identity.sessions
    DROP CONSTRAINT sessions_ended_reason_check,
    ADD CONSTRAINT sessions_ended_reason_check
        CHECK (ended_reason IN ('logout', 'refresh_reuse', 'suspended', 'password', 'erased', 'role',
                                'factors', 'guessing'));
