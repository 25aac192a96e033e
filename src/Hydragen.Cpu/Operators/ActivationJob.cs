using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>output = activation(gate) · up, by rows.</summary>
internal abstract unsafe class ActivationJob : RowJob
{
    public byte* GateUp;
    public int IntermediateSize;
    public ActivationKind Activation;
    public byte* Output;
    public ElementType OutputType;
}

/// <inheritdoc/>
internal sealed unsafe class ActivationJob<S, V> : ActivationJob
    where S : struct, ISimd<V>
    where V : struct
{
    private interface IFunction
    {
        static abstract V Apply(V x);
    }

    protected override void Rows<T>(int first, int end)
    {
        for (int row = first; row < end; row++) Row<T>(row);
    }

    private void Row<T>(int row)
        where T : struct, IStorage
    {
        switch (OutputType)
        {
            case ElementType.Float32: Row<T, Float32Storage>(row); break;
            case ElementType.BFloat16: Row<T, BFloat16Storage>(row); break;
            default: Row<T, Float16Storage>(row); break;
        }
    }

    private void Row<T, TOutput>(int row)
        where T : struct, IStorage
        where TOutput : struct, IStorage
    {
        switch (Activation)
        {
            case ActivationKind.Silu: Row<T, TOutput, Silu>(row); break;
            case ActivationKind.Gelu: Row<T, TOutput, Gelu>(row); break;
            default: Row<T, TOutput, GeluTanh>(row); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Row<T, TOutput, TFunction>(int row)
        where T : struct, IStorage
        where TOutput : struct, IStorage
        where TFunction : struct, IFunction
    {
        byte* gate = GateUp + (nint)row * 2 * IntermediateSize * T.Size;
        byte* up = gate + (nint)IntermediateSize * T.Size;
        nint first = (nint)row * IntermediateSize;
        for (int i = 0; i < IntermediateSize; i += S.Lanes)
        {
            int count = IntermediateSize - i;
            V value = S.Multiply(TFunction.Apply(Partial<S, V>.Load<T>(gate, i, count)), Partial<S, V>.Load<T>(up, i, count));
            Partial<S, V>.Store<TOutput>(Output, first + i, value, count);
        }
    }

    private readonly struct Silu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Apply(V x) =>
            S.Divide(x, S.Add(S.Broadcast(1f), SimdMath<S, V>.Exp(S.Subtract(default, x))));
    }

    private readonly struct Gelu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Apply(V x)
        {
            V magnitude = S.And(x, S.Bits(0x7FFFFFFF));
            V tail = S.Multiply(S.Broadcast(0.5f), SimdMath<S, V>.ComplementaryError(S.Multiply(magnitude, S.Broadcast(0.70710678118654752f))));
            V below = S.Select(S.LessThan(x, default), tail, S.Subtract(S.Broadcast(1f), tail));
            return S.Multiply(x, below);
        }
    }

    private readonly struct GeluTanh : IFunction
    {
        // x · ½(1 + tanh(y)) = x / (1 + e^(−2y)), which does not cancel for negative y.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static V Apply(V x)
        {
            V cube = S.Multiply(S.Multiply(x, x), x);
            V y = S.Multiply(S.Broadcast(0.79788456080286536f), S.MultiplyAdd(S.Broadcast(0.044715f), cube, x));
            return S.Divide(x, S.Add(S.Broadcast(1f), SimdMath<S, V>.Exp(S.Multiply(S.Broadcast(-2f), y))));
        }
    }
}
