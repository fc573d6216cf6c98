-- The application's role owns nothing and bypasses nothing: every table it reads is behind row-level
-- security. `galley.tenant` is set per transaction and names the one tenant that it may see.
-- `galley_system` is the platform's own hand (relay, sweeps, key look-up, ledger): it is a role of its
-- own, entered by SET LOCAL ROLE, with a policy in just the tables that its work needs.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'galley_app') THEN
    CREATE ROLE galley_app LOGIN NOBYPASSRLS NOSUPERUSER;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'galley_system') THEN
    CREATE ROLE galley_system NOLOGIN NOBYPASSRLS NOSUPERUSER;
  END IF;
END $$;
--> statement-breakpoint
GRANT galley_system TO galley_app WITH INHERIT FALSE, SET TRUE;
--> statement-breakpoint
GRANT USAGE ON SCHEMA public TO galley_app, galley_system;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON
  uploads, files, models, model_versions, model_aliases, runs, steps, idempotency TO galley_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE ON tenants, api_keys, ledger_heads TO galley_app;
--> statement-breakpoint
GRANT SELECT, INSERT ON audit_log, receipts, receipt_contexts, outbox TO galley_app;
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON queue_messages TO galley_app;
--> statement-breakpoint
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO galley_app, galley_system;
--> statement-breakpoint
GRANT SELECT ON tenants, api_keys, runs, steps, model_versions TO galley_system;
--> statement-breakpoint
-- UPDATE for the row locks of the relay; it changes nothing.
GRANT SELECT, UPDATE, DELETE ON outbox TO galley_system;
--> statement-breakpoint
GRANT SELECT, DELETE ON idempotency TO galley_system;
--> statement-breakpoint
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY[
    'api_keys', 'audit_log', 'idempotency', 'uploads', 'files', 'models', 'model_versions',
    'model_aliases', 'runs', 'steps', 'outbox', 'ledger_heads', 'receipt_contexts', 'receipts'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY of_tenant ON %I TO galley_app
         USING (tenant_id = current_setting(''galley.tenant'', true))
         WITH CHECK (tenant_id = current_setting(''galley.tenant'', true))', name);
  END LOOP;
  ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
  ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
  CREATE POLICY of_tenant ON tenants TO galley_app
    USING (current_setting('galley.tenant', true) IN (id, parent_id))
    WITH CHECK (current_setting('galley.tenant', true) IN (id, parent_id));
  FOREACH name IN ARRAY ARRAY[
    'tenants', 'api_keys', 'runs', 'steps', 'model_versions', 'outbox', 'idempotency'
  ] LOOP
    EXECUTE format('CREATE POLICY of_platform ON %I TO galley_system USING (true)', name);
  END LOOP;
END $$;
