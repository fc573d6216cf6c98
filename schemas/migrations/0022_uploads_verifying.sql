ALTER TABLE "uploads" ADD COLUMN "error" jsonb;--> statement-breakpoint
ALTER TABLE "uploads" ADD COLUMN "round" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "uploads" ADD COLUMN "asked_at" timestamp with time zone;