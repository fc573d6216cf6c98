CREATE TABLE "model_rollouts" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"model" text NOT NULL,
	"alias" text NOT NULL,
	"mode" text NOT NULL,
	"from_version" integer NOT NULL,
	"to_version" integer NOT NULL,
	"percent" real NOT NULL,
	"tolerance" jsonb NOT NULL,
	"guard" jsonb NOT NULL,
	"state" text NOT NULL,
	"reason" text,
	"report" jsonb NOT NULL,
	"created_by" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	"ended_at" timestamp with time zone,
	CONSTRAINT "model_rollouts_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE TABLE "model_switches" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"model" text NOT NULL,
	"alias" text NOT NULL,
	"kind" text NOT NULL,
	"from_version" integer,
	"to_version" integer,
	"outcome" text NOT NULL,
	"reason" text,
	"actor" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"answered_from" bigint,
	"answered_to" bigint,
	"dropped" bigint,
	"mixed" bigint,
	CONSTRAINT "model_switches_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE UNIQUE INDEX "model_rollouts_running" ON "model_rollouts" USING btree ("tenant_id","model") WHERE state = 'running';--> statement-breakpoint
CREATE INDEX "model_rollouts_model" ON "model_rollouts" USING btree ("tenant_id","model","id");--> statement-breakpoint
CREATE INDEX "model_switches_model" ON "model_switches" USING btree ("tenant_id","model","id");
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON model_rollouts TO galley_app;
--> statement-breakpoint
ALTER TABLE model_rollouts ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE model_rollouts FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON model_rollouts TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON model_switches TO galley_app;
--> statement-breakpoint
ALTER TABLE model_switches ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE model_switches FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON model_switches TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
