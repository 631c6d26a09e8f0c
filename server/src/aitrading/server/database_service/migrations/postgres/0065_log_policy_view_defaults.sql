-- The shape that other programs know says that a policy needs no compliance unless somebody says so;
-- the table said it, and its view did not.
ALTER VIEW app.log_retention_policies ALTER COLUMN compliance_required SET DEFAULT false;
