output "queues" {
  description = "URLs of the queues."
  value = {
    messages_in       = aws_sqs_queue.messages_in.url
    messages_in_dead  = aws_sqs_queue.messages_in_dead.url
    commands_out      = aws_sqs_queue.commands_out.url
    commands_out_dead = aws_sqs_queue.commands_out_dead.url
  }
}

output "streams" {
  description = "ARNs of the streams."
  value = {
    events       = aws_kinesis_stream.events.arn
    dead_letters = aws_kinesis_stream.dead_letters.arn
  }
}

output "tables" {
  description = "ARNs of the tables."
  value = {
    outlet_leases = aws_dynamodb_table.outlet_leases.arn
    app_leases    = aws_dynamodb_table.app_leases.arn
    customers     = aws_dynamodb_table.customers.arn
    outlets       = aws_dynamodb_table.outlets.arn
    sessions      = aws_dynamodb_table.sessions.arn
    items         = aws_dynamodb_table.items.arn
  }
}

output "policies" {
  description = "ARNs of the roles' IAM policies."
  value       = { for role, policy in aws_iam_policy.role : role => policy.arn }
}
