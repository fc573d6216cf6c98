CREATE TABLE "model_serving" (
	"tenant_id" text NOT NULL,
	"model" text NOT NULL,
	"cache" jsonb,
	"changed_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "model_serving_tenant_id_model_pk" PRIMARY KEY("tenant_id","model")
);

--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON model_serving TO galley_app;
--> statement-breakpoint
ALTER TABLE model_serving ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE model_serving FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON model_serving TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
