//! Keeps calls to a dependency inside named bounds: retries, budgets, breakers, bulkheads, deadlines.
