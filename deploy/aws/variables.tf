variable "prefix" {
  description = "Of all names; the original system's is ev-charging_. The same as --prefix."
  type        = string
  default     = "ev-charging_"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{0,24}$", var.prefix))
    error_message = "At most 24 letters, digits, - and _."
  }
}

variable "region" {
  description = "The original system's is eu-west-1."
  type        = string
  default     = "eu-west-1"
}

variable "policies" {
  description = "For which roles an IAM policy is made; any of outlet, app, gateway, provision."
  type        = list(string)
  default     = ["outlet", "app", "gateway"]

  validation {
    condition = alltrue([
      for role in var.policies : contains(["outlet", "app", "gateway", "provision"], role)
    ])
    error_message = "Roles are outlet, app, gateway and provision."
  }
}
