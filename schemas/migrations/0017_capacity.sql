CREATE TABLE "capacity_decisions" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"hardware" text NOT NULL,
	"since_at" timestamp with time zone NOT NULL,
	"until_at" timestamp with time zone NOT NULL,
	"needed" integer NOT NULL,
	"started" integer NOT NULL,
	"spot" integer NOT NULL,
	"on_demand" integer NOT NULL,
	"reasons" jsonb DEFAULT '[]' NOT NULL
);
--> statement-breakpoint
CREATE INDEX "capacity_decisions_newest" ON "capacity_decisions" USING btree ("hardware","id" DESC NULLS LAST);
--> statement-breakpoint
GRANT SELECT, INSERT, UPDATE, DELETE ON capacity_decisions TO galley_system;
--> statement-breakpoint
GRANT USAGE ON SEQUENCE capacity_decisions_id_seq TO galley_system;
