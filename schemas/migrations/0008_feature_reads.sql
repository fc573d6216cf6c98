CREATE TABLE "feature_reads" (
	"tenant_id" text NOT NULL,
	"id" bigserial NOT NULL,
	"key_id" text NOT NULL,
	"view" text NOT NULL,
	"version" integer NOT NULL,
	"entity" text NOT NULL,
	"entity_key" text NOT NULL,
	"at" bigint NOT NULL,
	"values" jsonb NOT NULL,
	"statuses" jsonb NOT NULL,
	"state" text DEFAULT 'new' NOT NULL,
	"differences" jsonb,
	"checked_at" timestamp with time zone,
	CONSTRAINT "feature_reads_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE INDEX "feature_reads_unchecked" ON "feature_reads" USING btree ("tenant_id") WHERE state = 'new';--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON feature_reads TO galley_app;
--> statement-breakpoint
GRANT USAGE ON SEQUENCE feature_reads_id_seq TO galley_app;
--> statement-breakpoint
ALTER TABLE feature_reads ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE feature_reads FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON feature_reads TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
