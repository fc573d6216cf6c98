CREATE TABLE "inference_log" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"model" text NOT NULL,
	"version" integer NOT NULL,
	"digest" text NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"key_id" text NOT NULL,
	"receipt" text NOT NULL,
	"features" text,
	"subject_entity" text,
	"subject" text,
	"rows" integer NOT NULL,
	"inputs" text NOT NULL,
	"outputs" text NOT NULL,
	"retention_days" integer NOT NULL,
	CONSTRAINT "inference_log_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
CREATE TABLE "inference_segments" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"model" text NOT NULL,
	"hour" timestamp with time zone NOT NULL,
	"state" text NOT NULL,
	"blob" text NOT NULL,
	"sha256" text NOT NULL,
	"bytes" bigint NOT NULL,
	"rows" integer NOT NULL,
	"subject_entities" text[] NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"sealed_at" timestamp with time zone NOT NULL,
	CONSTRAINT "inference_segments_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);
--> statement-breakpoint
ALTER TABLE "model_serving" ADD COLUMN "inference_log" jsonb;--> statement-breakpoint
CREATE INDEX "inference_log_by_time" ON "inference_log" USING btree ("tenant_id","model","at");--> statement-breakpoint
CREATE INDEX "inference_segments_by_hour" ON "inference_segments" USING btree ("tenant_id","model","hour");
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON inference_log TO galley_app;
--> statement-breakpoint
ALTER TABLE inference_log ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE inference_log FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON inference_log TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON inference_segments TO galley_app;
--> statement-breakpoint
ALTER TABLE inference_segments ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE inference_segments FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON inference_segments TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
--> statement-breakpoint
-- Operators' keys, which alone may make tenants, may see the measures of all of them; they and no others.
UPDATE api_keys SET scopes = scopes || '{metrics:read,inferences:read}'::text[]
  WHERE 'tenants:write' = ANY (scopes) AND NOT 'metrics:read' = ANY (scopes);
