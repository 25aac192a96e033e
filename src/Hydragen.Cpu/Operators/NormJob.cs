using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>RMS norm of rows, optionally after adding a scaled delta to the FP32 residual that is normalised.</summary>
internal abstract unsafe class NormJob : RowJob
{
    public byte* Input;
    public int HiddenSize;
    public float* Weight;
    public float Epsilon;
    public byte* Output;
    public ElementType OutputType;

    /// <summary>FP32, updated and used as the input; null for a plain norm of <see cref="Input"/>.</summary>
    public float* Residual;
    public float DeltaScale;
}

/// <inheritdoc/>
internal sealed unsafe class NormJob<S, V> : NormJob
    where S : struct, ISimd<V>
    where V : struct
{
    protected override void Rows<T>(int first, int end)
    {
        for (int row = first; row < end; row++) Row<T>(row);
    }

    private void Row<T>(int row)
        where T : struct, IStorage
    {
        byte* input = Input + (nint)row * HiddenSize * T.Size;
        if (Residual == null)
        {
            Normalise<T>(input, SumOfSquares<T>(input), row);
            return;
        }
        byte* residual = (byte*)(Residual + (nint)row * HiddenSize);
        Normalise<Float32Storage>(residual, AddDelta<T>((float*)residual, input), row);
    }

    private void Normalise<T>(byte* input, float sumOfSquares, int row)
        where T : struct, IStorage
    {
        float factor = 1 / MathF.Sqrt(sumOfSquares / HiddenSize + Epsilon);
        switch (OutputType)
        {
            case ElementType.Float32: Write<T, Float32Storage>(input, factor, row); break;
            case ElementType.BFloat16: Write<T, BFloat16Storage>(input, factor, row); break;
            default: Write<T, Float16Storage>(input, factor, row); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float SumOfSquares<T>(byte* input)
        where T : struct, IStorage
    {
        V even = default, odd = default;
        int i = 0;
        for (; i <= HiddenSize - 2 * S.Lanes; i += 2 * S.Lanes)
        {
            V first = T.Load<S, V>(input, i), second = T.Load<S, V>(input, i + S.Lanes);
            even = S.MultiplyAdd(first, first, even);
            odd = S.MultiplyAdd(second, second, odd);
        }
        for (; i < HiddenSize; i += S.Lanes)
        {
            V value = Partial<S, V>.Load<T>(input, i, HiddenSize - i);
            even = S.MultiplyAdd(value, value, even);
        }
        return S.Sum(S.Add(even, odd));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private float AddDelta<T>(float* residual, byte* delta)
        where T : struct, IStorage
    {
        V scale = S.Broadcast(DeltaScale), sum = default;
        for (int i = 0; i < HiddenSize; i += S.Lanes)
        {
            int count = HiddenSize - i;
            V value = S.MultiplyAdd(Partial<S, V>.Load<T>(delta, i, count), scale,
                Partial<S, V>.Load<Float32Storage>((byte*)residual, i, count));
            Partial<S, V>.Store<Float32Storage>((byte*)residual, i, value, count);
            sum = S.MultiplyAdd(value, value, sum);
        }
        return S.Sum(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Write<T, TOutput>(byte* input, float factor, int row)
        where T : struct, IStorage
        where TOutput : struct, IStorage
    {
        V factors = S.Broadcast(factor);
        nint first = (nint)row * HiddenSize;
        for (int i = 0; i < HiddenSize; i += S.Lanes)
        {
            int count = HiddenSize - i;
            V value = S.Multiply(Partial<S, V>.Load<T>(input, i, count), factors);
            value = S.Multiply(value, Partial<S, V>.Load<Float32Storage>((byte*)Weight, i, count));
            Partial<S, V>.Store<TOutput>(Output, first + i, value, count);
        }
    }
}
