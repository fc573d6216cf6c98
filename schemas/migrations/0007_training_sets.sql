ALTER TABLE "runs" ADD COLUMN "result_sha256" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "lineage" jsonb;