# What `evcharge provision --engine aws` creates, for those who keep their resources in Terraform.
# The two are compared by a test: change both or neither.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

provider "aws" {
  region = var.region
}

data "aws_caller_identity" "own" {}

# --- Queues: devices to the outlet backend and back ---

resource "aws_sqs_queue" "messages_in_dead" {
  name                      = "${var.prefix}device-to-outlet-backend_dead-letters_queue"
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue" "commands_out_dead" {
  name                      = "${var.prefix}outlet-backend-to-device_dead-letters_queue"
  message_retention_seconds = 1209600
}

resource "aws_sqs_queue" "messages_in" {
  name                       = "${var.prefix}device-to-outlet-backend_queue"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 30
  receive_wait_time_seconds  = 10
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.messages_in_dead.arn
    maxReceiveCount     = 1000
  })
}

resource "aws_sqs_queue" "commands_out" {
  name                       = "${var.prefix}outlet-backend-to-device_queue"
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 30
  receive_wait_time_seconds  = 10
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.commands_out_dead.arn
    maxReceiveCount     = 1000
  })
}

# --- Streams: charging events between the backends ---

resource "aws_kinesis_stream" "events" {
  name             = "${var.prefix}charging-events_stream"
  shard_count      = 4
  retention_period = 24

  lifecycle {
    ignore_changes = [shard_count] # more are fine
  }
}

resource "aws_kinesis_stream" "dead_letters" {
  name             = "${var.prefix}charging-events-dead-letters_stream"
  shard_count      = 1
  retention_period = 24
}

# --- Tables: who reads which shard ---

resource "aws_dynamodb_table" "outlet_leases" {
  name           = "${var.prefix}charging-event-checkpoints-outlet-backend_table"
  billing_mode   = "PROVISIONED"
  read_capacity  = 4
  write_capacity = 4
  hash_key       = "leaseKey"

  attribute {
    name = "leaseKey"
    type = "S"
  }
}

resource "aws_dynamodb_table" "app_leases" {
  name           = "${var.prefix}charging-event-checkpoints-app-backend_table"
  billing_mode   = "PROVISIONED"
  read_capacity  = 4
  write_capacity = 4
  hash_key       = "leaseKey"

  attribute {
    name = "leaseKey"
    type = "S"
  }
}

# --- Tables: what the system keeps ---

resource "aws_dynamodb_table" "customers" {
  name         = "${var.prefix}customer_table"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "customerId"

  attribute {
    name = "customerId"
    type = "S"
  }

  attribute {
    name = "rfidTag"
    type = "S"
  }

  global_secondary_index {
    name               = "${var.prefix}customer-rfidTag_index"
    hash_key           = "rfidTag"
    projection_type    = "INCLUDE"
    non_key_attributes = ["customerId"]
  }
}

resource "aws_dynamodb_table" "outlets" {
  name         = "${var.prefix}charger-outlet_table"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "outletId"

  attribute {
    name = "outletId"
    type = "S"
  }
}

resource "aws_dynamodb_table" "sessions" {
  name         = "${var.prefix}charging-session_table"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "sessionId"

  attribute {
    name = "sessionId"
    type = "S"
  }

  attribute {
    name = "customerId"
    type = "S"
  }

  global_secondary_index {
    name               = "${var.prefix}active-charging-sessions_index"
    hash_key           = "customerId"
    projection_type    = "INCLUDE"
    non_key_attributes = ["outletId", "outletState", "sessionId", "startTime"]
  }
}

resource "aws_dynamodb_table" "items" {
  name         = "${var.prefix}evcharge-items_table"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "gpk"
    type = "S"
  }

  attribute {
    name = "gsk"
    type = "S"
  }

  global_secondary_index {
    name            = "${var.prefix}evcharge-items_index"
    hash_key        = "gpk"
    range_key       = "gsk"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }
}

# --- Policies of the roles, to be attached to whatever the processes run as ---

resource "aws_iam_policy" "role" {
  for_each = toset(var.policies)

  name = "${var.prefix}evcharge-${each.key}"
  policy = templatefile("${path.module}/iam/${each.key}.json", {
    prefix  = var.prefix
    region  = var.region
    account = data.aws_caller_identity.own.account_id
  })
}
