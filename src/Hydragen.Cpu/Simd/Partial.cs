using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>Loads and stores of up to a whole vector that touch no element past the given count; missing lanes are zero.</summary>
internal static unsafe class Partial<S, V>
    where S : struct, ISimd<V>
    where V : struct
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<T>(byte* source, nint index, int count)
        where T : struct, IStorage => count >= S.Lanes ? T.Load<S, V>(source, index) : LoadTail<T>(source, index, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<T>(byte* destination, nint index, V value, int count)
        where T : struct, IStorage
    {
        if (count >= S.Lanes) T.Store<S, V>(destination, index, value);
        else StoreTail<T>(destination, index, value, count);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static V LoadTail<T>(byte* source, nint index, int count)
        where T : struct, IStorage
    {
        float* lanes = stackalloc float[S.Lanes];
        S.Store(lanes, default);
        for (int i = 0; i < count; i++) lanes[i] = T.Get(source, index + i);
        return S.Load(lanes);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StoreTail<T>(byte* destination, nint index, V value, int count)
        where T : struct, IStorage
    {
        float* lanes = stackalloc float[S.Lanes];
        S.Store(lanes, value);
        for (int i = 0; i < count; i++) T.Set(destination, index + i, lanes[i]);
    }
}
