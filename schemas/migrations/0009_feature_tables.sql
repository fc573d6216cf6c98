CREATE TABLE "feature_tables" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"version" integer NOT NULL,
	"sha256" text NOT NULL,
	"size" bigint NOT NULL,
	"format" text NOT NULL,
	"time" text,
	"type_version" integer NOT NULL,
	"run_id" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "feature_tables_tenant_id_name_version_pk" PRIMARY KEY("tenant_id","name","version")
);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON feature_tables TO galley_app;
--> statement-breakpoint
ALTER TABLE feature_tables ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE feature_tables FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON feature_tables TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
