-- Who administers an organisation sets its rules of logins over the API. The api-gateway writes those
-- settings and no others: what else was granted to an organisation is the host's alone.
GRANT INSERT, UPDATE ON app.tenant_settings TO identity;
CREATE POLICY logins_alone_added ON app.tenant_settings AS RESTRICTIVE FOR INSERT TO identity
    WITH CHECK (setting IN ('login.networks', 'login.second_factor'));
CREATE POLICY logins_alone_changed ON app.tenant_settings AS RESTRICTIVE FOR UPDATE TO identity
    USING (setting IN ('login.networks', 'login.second_factor'))
    WITH CHECK (setting IN ('login.networks', 'login.second_factor'));
