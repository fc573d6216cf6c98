CREATE TABLE "batch_files" (
	"tenant_id" text NOT NULL,
	"id" text NOT NULL,
	"state" text NOT NULL,
	"purpose" text DEFAULT 'batch' NOT NULL,
	"filename" text DEFAULT '' NOT NULL,
	"size" bigint DEFAULT 0 NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	CONSTRAINT "batch_files_tenant_id_id_pk" PRIMARY KEY("tenant_id","id")
);

--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_files TO galley_app;
--> statement-breakpoint
ALTER TABLE batch_files ENABLE ROW LEVEL SECURITY;
--> statement-breakpoint
ALTER TABLE batch_files FORCE ROW LEVEL SECURITY;
--> statement-breakpoint
CREATE POLICY of_tenant ON batch_files TO galley_app
  USING (tenant_id = current_setting('galley.tenant', true))
  WITH CHECK (tenant_id = current_setting('galley.tenant', true));
