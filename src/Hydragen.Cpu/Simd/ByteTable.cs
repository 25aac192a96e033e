using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// Bytes of KV caches widened by table: all formats fit BF16, so the 128 magnitudes have an upper and a lower byte each, which AVX-512 VBMI
/// looks up in 64 bytes at once.
/// </summary>
internal static unsafe class ByteTable
{
    /// <summary>A or (B and C), as a ternary function.</summary>
    public const byte MergeSelected = 0xF8;

    /// <summary>The sign bit of four bytes.</summary>
    public const uint SignBits = 0x8080_8080;

    private const int Magnitudes = 128, LineBytes = 64, Eighths = 8;

    // Upper bytes, lower bytes, and where the eighths of 64 bytes go, so that interleaving the bytes of 16-byte lanes keeps their order.
    private const int Size = 2 * Magnitudes + LineBytes;

    // They live as long as the process, like generated code.
    private static readonly byte* Tables = CreateTables();

    /// <summary>Whether the processor can.</summary>
    public static bool IsSupported => ProcessorFeatures.HasAvx512 && Avx512Vbmi.IsSupported;

    /// <summary>
    /// The table of a type whose elements are bytes, aligned to 64: upper bytes <c>[128]</c>, lower bytes <c>[128]</c>, and INT64 <c>[8]</c>, the
    /// order into which eighths of 64 bytes are put so that interleaving the bytes of 16-byte lanes keeps theirs.
    /// </summary>
    public static byte* For(ElementType type) => Tables + (type - ElementType.Int8) * Size;

    /// <summary>Widens to BF16; what neighbours along the sum are stays so.</summary>
    /// <param name="source">Bytes <c>[count / 32][16][2]</c>.</param>
    /// <param name="type">A type whose elements are bytes.</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="destination">Receives BF16 <c>[count / 32][16][2]</c>, aligned to 64 bytes.</param>
    /// <param name="ahead">Bytes from what is read to what is worth fetching meanwhile; 0 for nothing.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToPairs(byte* source, ElementType type, nint count, ushort* destination, nint ahead)
    {
        var table = new Registers(For(type));
        nint i = 0;
        for (; i <= count - LineBytes; i += LineBytes)
        {
            if (ahead != 0) Sse.Prefetch0(source + i + ahead);
            (Vector512<byte> first, Vector512<byte> second) = table.Widen(Vector512.Load(source + i));
            Vector512.Store(first, (byte*)(destination + i));
            Vector512.Store(second, (byte*)(destination + i + LineBytes / 2));
        }
        if (i < count) Vector512.Store(table.Widen(Vector256.Load(source + i).ToVector512Unsafe()).First, (byte*)(destination + i));
    }

    /// <summary>Widens to FP32, and takes neighbours along the sum apart.</summary>
    /// <param name="source">Bytes <c>[count / 32][16][2]</c>.</param>
    /// <param name="type">A type whose elements are bytes.</param>
    /// <param name="count">A multiple of 32.</param>
    /// <param name="destination">Receives FP32 <c>[count / 16][16]</c>.</param>
    /// <param name="ahead">Bytes from what is read to what is worth fetching meanwhile; 0 for nothing.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToSingle(byte* source, ElementType type, nint count, float* destination, nint ahead)
    {
        var table = new Registers(For(type));
        nint i = 0;
        for (; i <= count - LineBytes; i += LineBytes)
        {
            if (ahead != 0) Sse.Prefetch0(source + i + ahead);
            (Vector512<byte> first, Vector512<byte> second) = table.Widen(Vector512.Load(source + i));
            TakeApart(first, destination + i);
            TakeApart(second, destination + i + LineBytes / 2);
        }
        if (i < count) TakeApart(table.Widen(Vector256.Load(source + i).ToVector512Unsafe()).First, destination + i);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void TakeApart(Vector512<byte> pairs, float* destination)
    {
        Vector512.Store((pairs.AsUInt32() << 16).AsSingle(), destination);
        Vector512.Store((pairs.AsUInt32() & Vector512.Create(0xFFFF_0000)).AsSingle(), destination + TileShape.StripWidth);
    }

    private static byte* CreateTables()
    {
        ElementType[] types = [ElementType.Int8, ElementType.Float8E4M3, ElementType.Float8E5M2];
        byte* tables = (byte*)NativeMemory.AlignedAlloc((nuint)(types.Length * Size), LineBytes);
        foreach (ElementType type in types)
        {
            byte* table = tables + (type - ElementType.Int8) * Size;
            for (int magnitude = 0; magnitude < Magnitudes; magnitude++)
            {
                ushort bits = BFloat16Bits.FromSingle(type == ElementType.Int8 ? magnitude / Int8Format.Denominator : Float8Bits.ToSingle((byte)magnitude, type));
                table[magnitude] = (byte)(bits >> 8);
                table[Magnitudes + magnitude] = (byte)bits;
            }
            long* order = (long*)(table + 2 * Magnitudes);
            for (int i = 0; i < Eighths; i++) order[i] = i / 2 + i % 2 * (Eighths / 2);
        }
        return tables;
    }

    /// <summary>A table in registers.</summary>
    private readonly struct Registers(byte* table)
    {
        private readonly Vector512<byte> _upper0 = Vector512.Load(table), _upper1 = Vector512.Load(table + 64);
        private readonly Vector512<byte> _lower0 = Vector512.Load(table + 128), _lower1 = Vector512.Load(table + 192);
        private readonly Vector512<byte> _signs = Vector512.Create(SignBits).AsByte();
        private readonly Vector512<long> _order = Vector512.Load((long*)(table + 256));

        /// <summary>The first 32 bytes and the last 32, as BF16.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public (Vector512<byte> First, Vector512<byte> Second) Widen(Vector512<byte> bytes)
        {
            Vector512<byte> ordered = Avx512F.PermuteVar8x64(bytes.AsInt64(), _order).AsByte();
            Vector512<byte> upper = Avx512Vbmi.PermuteVar64x8x2(_upper0, ordered, _upper1);
            Vector512<byte> lower = Avx512Vbmi.PermuteVar64x8x2(_lower0, ordered, _lower1);
            upper = Avx512F.TernaryLogic(upper, ordered, _signs, MergeSelected);
            return (Avx512BW.UnpackLow(lower, upper), Avx512BW.UnpackHigh(lower, upper));
        }
    }
}
