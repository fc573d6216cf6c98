CREATE TABLE "hook_sources" (
	"tenant_id" text NOT NULL,
	"name" text NOT NULL,
	"id" text NOT NULL,
	"definition" jsonb NOT NULL,
	"secrets" jsonb NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"changed_at" timestamp with time zone NOT NULL,
	CONSTRAINT "hook_sources_tenant_id_name_pk" PRIMARY KEY("tenant_id","name"),
	CONSTRAINT "hook_sources_id_unique" UNIQUE("id")
);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON hook_sources TO galley_app;
--> statement-breakpoint
ALTER TABLE hook_sources ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE hook_sources FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON hook_sources TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
--> statement-breakpoint
-- Whose webhook it is follows from the address alone: there is no tenant yet when it is looked up.
GRANT SELECT ON hook_sources TO galley_system;
--> statement-breakpoint
CREATE POLICY of_platform ON hook_sources TO galley_system USING (true);
