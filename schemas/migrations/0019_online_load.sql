CREATE TABLE "runner_calls" (
	"hardware" text PRIMARY KEY NOT NULL,
	"called_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "capacity_decisions" ADD COLUMN "cold_s" double precision;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "online_share" double precision DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "warm_models" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runners" ADD COLUMN "online_at" timestamp with time zone;--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON runner_calls TO galley_system;
