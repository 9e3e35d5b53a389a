"""Task `object` from COCO 2017: an object on one colour is the condition, the photograph it is from the target."""
