using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>Elementary functions on vectors. Relative errors are a few units of FP32 rounding unless said otherwise.</summary>
internal static class SimdMath<S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    private const float Log2E = 1.44269504088896341f;
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    private static V NegativeInfinity
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => S.Broadcast(float.NegativeInfinity);
    }

    /// <summary>2^x of values that are not positive; exactly 1 at 0 and exactly 0 below −126, −∞ included. NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp2(V x)
    {
        V lowest = S.Broadcast(-126f);
        V clamped = S.Max(lowest, x);
        V exponent = S.RoundToEven(clamped);
        V result = S.ScaleByPowerOfTwo(Exp2Fraction(S.Subtract(clamped, exponent)), exponent);
        return S.Select(S.LessThan(x, lowest), default, result);
    }

    /// <summary>e^x; exactly 1 at 0, 0 below about −87.3, ∞ above about 88.7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Exp(V x)
    {
        V lowest = S.Broadcast(-87.3f);
        V clamped = S.Min(S.Broadcast(88.8f), S.Max(lowest, x));
        V exponent = S.RoundToEven(S.Multiply(clamped, S.Broadcast(Log2E)));
        V rest = S.MultiplyAdd(exponent, S.Broadcast(-Ln2High), clamped);
        rest = S.MultiplyAdd(exponent, S.Broadcast(-Ln2Low), rest);
        V result = S.ScaleByPowerOfTwo(Exp2Fraction(S.Multiply(rest, S.Broadcast(Log2E))), exponent);
        result = S.Select(S.LessThan(S.Broadcast(88.72283f), x), S.Broadcast(float.PositiveInfinity), result);
        return S.Select(S.LessThan(x, lowest), default, result);
    }

    /// <summary>tanh: a polynomial near 0, where the exponential form would cancel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Tanh(V x)
    {
        V magnitude = S.And(x, S.Bits(0x7FFFFFFF));
        V sign = S.And(x, S.Bits(0x80000000));
        V square = S.Multiply(x, x);
        V polynomial = S.MultiplyAdd(square, S.Broadcast(-5.70498872745e-3f), S.Broadcast(2.06390887954e-2f));
        polynomial = S.MultiplyAdd(polynomial, square, S.Broadcast(-5.37397155531e-2f));
        polynomial = S.MultiplyAdd(polynomial, square, S.Broadcast(1.33314422036e-1f));
        polynomial = S.MultiplyAdd(polynomial, square, S.Broadcast(-3.33332819422e-1f));
        polynomial = S.MultiplyAdd(S.Multiply(polynomial, square), x, x);
        V exponential = Exp(S.Add(magnitude, magnitude));
        V large = S.Subtract(S.Broadcast(1f), S.Divide(S.Broadcast(2f), S.Add(exponential, S.Broadcast(1f))));
        return S.Select(S.LessThan(magnitude, S.Broadcast(0.625f)), polynomial, S.Or(large, sign));
    }

    /// <summary>erfc of values that are not negative, relative error below 1e-6 until it underflows.</summary>
    /// <remarks>The rational Chebyshev form of Numerical Recipes, section 6.2: t · e^(−x² + P(t)) with t = 1 / (1 + x / 2).</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V ComplementaryError(V x)
    {
        // Beyond 14 the result is 0 anyway, and the error of the square could overflow its exponential.
        x = S.Min(S.Broadcast(14f), x);
        V t = S.Divide(S.Broadcast(1f), S.MultiplyAdd(x, S.Broadcast(0.5f), S.Broadcast(1f)));
        V polynomial = S.MultiplyAdd(t, S.Broadcast(0.17087277f), S.Broadcast(-0.82215223f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(1.48851587f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(-1.13520398f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(0.27886807f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(-0.18628806f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(0.09678418f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(0.37409196f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(1.00002368f));
        polynomial = S.MultiplyAdd(polynomial, t, S.Broadcast(-1.26551223f));
        // The square is split so that its rounding error does not enter the exponent.
        V square = S.Multiply(x, x);
        V error = S.MultiplyAdd(x, x, S.Subtract(default, square));
        return S.Multiply(t, S.Multiply(Exp(S.Subtract(default, square)), Exp(S.Subtract(polynomial, error))));
    }

    /// <summary>cap · tanh(x / cap).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V SoftCap(V x, V cap) => S.Multiply(cap, Tanh(S.Divide(x, cap)));

    /// <summary>Replaces the lanes whose index, counted from <paramref name="first"/>, is outside [low, high) by −∞.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V MaskOutside(V value, int first, int low, int high)
    {
        V index = S.Indices;
        V result = S.Select(S.LessThan(index, S.Broadcast(low - first)), NegativeInfinity, value);
        return S.Select(S.LessThan(index, S.Broadcast(high - first)), result, NegativeInfinity);
    }

    /// <summary>2^x on [−½, ½]: the Chebyshev interpolant of degree 6, relative error 1e-8 before rounding.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Exp2Fraction(V x)
    {
        V polynomial = S.MultiplyAdd(x, S.Broadcast(0.00015453163359779865f), S.Broadcast(0.0013390863314270973f));
        polynomial = S.MultiplyAdd(polynomial, x, S.Broadcast(0.009618083015084267f));
        polynomial = S.MultiplyAdd(polynomial, x, S.Broadcast(0.055503569543361664f));
        polynomial = S.MultiplyAdd(polynomial, x, S.Broadcast(0.24022650718688965f));
        polynomial = S.MultiplyAdd(polynomial, x, S.Broadcast(0.6931471824645996f));
        return S.MultiplyAdd(polynomial, x, S.Broadcast(1f));
    }
}
