namespace Hydragen.Core;

/// <summary>How one number is stored. Arithmetic accumulates in FP32 whatever the storage is.</summary>
public enum ElementType
{
    /// <summary>IEEE single precision, 4 bytes.</summary>
    Float32,

    /// <summary>The upper half of a single: 8 exponent bits, 7 fraction bits, 2 bytes.</summary>
    BFloat16,

    /// <summary>IEEE half precision, 2 bytes.</summary>
    Float16,

    /// <summary>
    /// Levels from −127 to 127, 1 byte, times a scale in half precision that the elements of a vector share (<see cref="Int8Levels"/>).
    /// Only KV caches hold it: a vector is the key or the value of one token and head.
    /// </summary>
    Int8,

    /// <summary>FP8 with 4 exponent bits and 3 fraction bits, 1 byte, up to 448 (<see cref="Float8Bits"/>). Only KV caches hold it.</summary>
    Float8E4M3,

    /// <summary>FP8 with 5 exponent bits and 2 fraction bits, 1 byte, up to 57,344 (<see cref="Float8Bits"/>). Only KV caches hold it.</summary>
    Float8E5M2,
}

/// <summary>Facts about <see cref="ElementType"/> values.</summary>
public static class ElementTypes
{
    private static readonly ElementType[] AllTypes = Enum.GetValues<ElementType>();
    private static readonly ElementType[] DenseTypes = [ElementType.Float32, ElementType.BFloat16, ElementType.Float16];

    /// <summary>What keys and values can be stored as.</summary>
    public static IReadOnlyList<ElementType> All => AllTypes;

    /// <summary>What buffers and weights can be stored as: those whose elements stand for themselves at more than 8 bits.</summary>
    public static IReadOnlyList<ElementType> Dense => DenseTypes;

    /// <summary>Whether an element is a byte, which only KV caches hold.</summary>
    public static bool IsByte(this ElementType type) => type is ElementType.Int8 or ElementType.Float8E4M3 or ElementType.Float8E5M2;

    /// <summary>Whether an element is FP8.</summary>
    public static bool IsFloat8(this ElementType type) => type is ElementType.Float8E4M3 or ElementType.Float8E5M2;

    /// <summary>Bytes that one element takes, without the scale that it may share with others.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="type"/> is not a defined value.</exception>
    public static int SizeInBytes(this ElementType type) => type switch
    {
        ElementType.Float32 => 4,
        ElementType.BFloat16 or ElementType.Float16 => 2,
        ElementType.Int8 or ElementType.Float8E4M3 or ElementType.Float8E5M2 => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type."),
    };

    /// <summary>Bytes of the scale that the elements of a vector share: 2 for INT8, 0 for the others.</summary>
    public static int ScaleSizeInBytes(this ElementType type) => type == ElementType.Int8 ? 2 : 0;

    /// <summary>The short name used by the command line: f32, bf16, f16, int8, fp8-e4m3 or fp8-e5m2.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="type"/> is not a defined value.</exception>
    public static string ShortName(this ElementType type) => type switch
    {
        ElementType.Float32 => "f32",
        ElementType.BFloat16 => "bf16",
        ElementType.Float16 => "f16",
        ElementType.Int8 => "int8",
        ElementType.Float8E4M3 => "fp8-e4m3",
        ElementType.Float8E5M2 => "fp8-e5m2",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type."),
    };

    /// <summary>The type of a short name.</summary>
    /// <exception cref="ArgumentException">No type is called so.</exception>
    public static ElementType Parse(string name)
    {
        foreach (ElementType type in AllTypes)
        {
            if (type.ShortName() == name) return type;
        }
        throw new ArgumentException($"'{name}' is not an element type; there are {string.Join(", ", AllTypes.Select(type => type.ShortName()))}.", nameof(name));
    }
}
