using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>Facts about <see cref="SafetensorsDtype"/> values.</summary>
public static class SafetensorsDtypes
{
    private static readonly (string Name, SafetensorsDtype Dtype, int Bits)[] Table =
    [
        ("BOOL", SafetensorsDtype.Bool, 8), ("F4", SafetensorsDtype.F4, 4),
        ("F6_E2M3", SafetensorsDtype.F6E2M3, 6), ("F6_E3M2", SafetensorsDtype.F6E3M2, 6),
        ("U8", SafetensorsDtype.U8, 8), ("I8", SafetensorsDtype.I8, 8),
        ("F8_E5M2", SafetensorsDtype.F8E5M2, 8), ("F8_E4M3", SafetensorsDtype.F8E4M3, 8),
        ("F8_E5M2FNUZ", SafetensorsDtype.F8E5M2Fnuz, 8), ("F8_E4M3FNUZ", SafetensorsDtype.F8E4M3Fnuz, 8),
        ("F8_E8M0", SafetensorsDtype.F8E8M0, 8), ("I16", SafetensorsDtype.I16, 16), ("U16", SafetensorsDtype.U16, 16),
        ("F16", SafetensorsDtype.F16, 16), ("BF16", SafetensorsDtype.BF16, 16), ("I32", SafetensorsDtype.I32, 32),
        ("U32", SafetensorsDtype.U32, 32), ("F32", SafetensorsDtype.F32, 32), ("C64", SafetensorsDtype.C64, 64),
        ("F64", SafetensorsDtype.F64, 64), ("I64", SafetensorsDtype.I64, 64), ("U64", SafetensorsDtype.U64, 64),
    ];

    /// <summary>Bits that one element takes; less than 8 for packed types.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> is not a defined value.</exception>
    public static int SizeInBits(this SafetensorsDtype dtype) => Find(dtype).Bits;

    /// <summary>The name in the file format, such as <c>BF16</c>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="dtype"/> is not a defined value.</exception>
    public static string FormatName(this SafetensorsDtype dtype) => Find(dtype).Name;

    /// <summary>The weight type of a dtype; false when it cannot be a weight.</summary>
    public static bool TryGetElementType(this SafetensorsDtype dtype, out ElementType elementType)
    {
        elementType = dtype switch
        {
            SafetensorsDtype.BF16 => ElementType.BFloat16,
            SafetensorsDtype.F16 => ElementType.Float16,
            _ => ElementType.Float32,
        };
        return dtype is SafetensorsDtype.F32 or SafetensorsDtype.BF16 or SafetensorsDtype.F16;
    }

    internal static bool TryParse(string name, out SafetensorsDtype dtype)
    {
        foreach ((string Name, SafetensorsDtype Dtype, int Bits) row in Table)
        {
            dtype = row.Dtype;
            if (row.Name == name) return true;
        }
        dtype = default;
        return false;
    }

    private static (string Name, SafetensorsDtype Dtype, int Bits) Find(SafetensorsDtype dtype)
    {
        foreach ((string Name, SafetensorsDtype Dtype, int Bits) row in Table)
        {
            if (row.Dtype == dtype) return row;
        }
        throw new ArgumentOutOfRangeException(nameof(dtype), dtype, "Unknown safetensors dtype.");
    }
}
