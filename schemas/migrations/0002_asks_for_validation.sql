DROP INDEX "model_versions_validating";--> statement-breakpoint
ALTER TABLE "model_versions" ADD COLUMN "asked_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "model_versions" ADD COLUMN "asks" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX "model_versions_validating" ON "model_versions" USING btree ("asked_at") WHERE state = 'validating';