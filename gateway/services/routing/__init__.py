"""Chooses the channel of a payment, and its fallback channels.

- `routes.py`: what the rest of the gateway calls: route a payment, or explain how it would be routed
- `decision.py`: the decision, a pure function of the rules and of what is known about each channel
- `matching.py`: which conditions of a rule a payment fails
- `draws.py`: the order of rules of equal priority: by weight, or by success rate
- `success_rates.py`: counts the outcomes of recent attempts; read without a statement on the database
"""
