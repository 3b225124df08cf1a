//! Words of the product: checked columns of a batch, wait reasons, stacks, loss causes.
