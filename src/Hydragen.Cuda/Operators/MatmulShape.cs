using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>What decides which algorithm of a matrix product is best.</summary>
/// <param name="OutputSize">Rows of the weights.</param>
/// <param name="InputSize">Columns of the weights, padding included.</param>
/// <param name="NumRows">Rows of the input.</param>
/// <param name="Type">Type of weights and input.</param>
/// <param name="OutputType">Type of the result.</param>
/// <param name="HasBias">Whether a bias is added.</param>
internal readonly record struct MatmulShape(int OutputSize, int InputSize, int NumRows, ElementType Type, ElementType OutputType, bool HasBias)
{
    /// <summary>Products of numbers.</summary>
    public long NumProducts => (long)OutputSize * InputSize * NumRows;

    /// <summary>
    /// The number of rows to compute instead of so many, when there is room: few numbers, so that few algorithms are searched for, and at
    /// most a quarter more.
    /// </summary>
    public static int RoundRows(int numRows)
    {
        if (numRows <= 2) return numRows;
        if (numRows <= 64) return (numRows + 7) / 8 * 8;
        int step = 1 << (29 - int.LeadingZeroCount(numRows - 1));
        return (numRows + step - 1) / step * step;
    }

    public override string ToString() =>
        $"[{NumRows}, {InputSize}] · [{OutputSize}, {InputSize}]ᵀ {Type.ShortName()} to {OutputType.ShortName()}{(HasBias ? " with bias" : "")}";
}
