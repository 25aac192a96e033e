namespace Hydragen.Core;

/// <summary>Which kernel a backend uses for an operation, and why.</summary>
/// <param name="Operation">What it computes.</param>
/// <param name="Kernel">Name of the path.</param>
/// <param name="Reason">One line.</param>
public sealed record KernelChoice(string Operation, string Kernel, string Reason);
