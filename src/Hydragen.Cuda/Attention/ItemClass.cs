namespace Hydragen.Cuda;

/// <summary>Which kernel computes an item.</summary>
internal enum ItemClass
{
    /// <summary>Few vectors, matrix instructions with keys on the wide side; four warps an item.</summary>
    Sequence,

    /// <summary>The same; one warp an item, which loads keys ahead.</summary>
    ShortSequence,

    /// <summary>One warp an item, of more than find a place at once: no keys are loaded ahead, so that more warps fit.</summary>
    CrowdedSequence,

    /// <summary>At most 64 vectors a block.</summary>
    NarrowNode,

    /// <summary>At most 128 vectors a block.</summary>
    WideNode,

    /// <summary>FP32 arithmetic, one warp a vector.</summary>
    Scalar,
}
