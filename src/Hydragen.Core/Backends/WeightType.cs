namespace Hydragen.Core;

/// <summary>How a backend keeps the weights of a matrix product.</summary>
public enum WeightType
{
    /// <summary>In the type that the model stores.</summary>
    Model,

    /// <summary>
    /// INT8, symmetric, one FP32 scale for each row of the matrix: weight ≈ q · scale with scale = max|weight| / 127. The product
    /// rounds every row of its input in the same way, with a scale of its own, and sums in INT32 without rounding.
    /// </summary>
    Int8,
}

/// <summary>Facts about <see cref="WeightType"/> values.</summary>
public static class WeightTypes
{
    /// <summary>The name used by the command line: model or int8.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="type"/> is not a defined value.</exception>
    public static string Name(this WeightType type) => type switch
    {
        WeightType.Model => "model",
        WeightType.Int8 => "int8",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown weight type."),
    };
}
