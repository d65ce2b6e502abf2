"""The HTTP side: routes, versions, authentication, policy, and the way of a request to its verb and back."""
